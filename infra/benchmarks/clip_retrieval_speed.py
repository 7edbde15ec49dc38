"""Images/s of `oodscan scan` against `clip-retrieval inference` on the same drawings and the same bundled model.

clip-retrieval needs an environment of its own, since its pins are not ours:

uv venv --python 3.11 DIR && uv pip install --python DIR/bin/python clip-retrieval==2.45.0 "setuptools<70"
python -m infra.benchmarks.clip_retrieval_speed --clip-retrieval-python DIR/bin/python

It writes image embeddings only, and scores nothing. Its rate counts its own time in reading, inference and writing of
each batch, without imports and the loading of the model.
"""

import json
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from infra.benchmarks.scan_speed import TWO_ENCODERS, scan
from infra.benchmarks.workloads import Workload, drawings, machine, parser, say
from pipelines.runtime.model import BUNDLED_DIRECTORY

MODEL = "oodscan-bundled"
PREPRO_WORKERS = (1, 2, 4)
DRIVER = """
import functools, json, sys
import open_clip
options = json.loads(sys.argv[1])
open_clip.add_model_config(options.pop("model_config"))
make = functools.partial(open_clip.create_model_and_transforms, **options.pop("preprocessing"))

def evaluating(*arguments, **named):
    model, *transforms = make(*arguments, **named)
    return model.eval(), *transforms

open_clip.create_model_and_transforms = evaluating
from clip_retrieval.clip_inference.main import main
main(**options)
"""
"""clip-retrieval leaves a model in training mode, where batch norm makes an image's embedding depend on its batch, and
takes OpenAI's mean and deviation for any weights file; both are put right, so that the same work is done."""


def clip_retrieval(python: Path, workload: Workload, output: Path, prepro_workers: int) -> dict[str, Any]:
    """One run, in an empty folder. OpenCLIP knows the model by a configuration that is added in the process."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    described = json.loads((BUNDLED_DIRECTORY / "open_clip_config.json").read_text(encoding="utf-8"))
    config = output / f"{MODEL}.json"
    config.write_text(json.dumps(described["model_cfg"]), encoding="utf-8")
    folder, count = workload.tars[0].parent, len(workload.tars)
    options = {
        "model_config": str(config),
        "preprocessing": {f"image_{name}": described["preprocess_cfg"][name] for name in ("mean", "std")},
        "clip_model": f"open_clip:{MODEL}/{BUNDLED_DIRECTORY / 'open_clip_model.safetensors'}",
        "input_dataset": f"{folder}/{{{workload.tars[0].stem}..{workload.tars[-1].stem}}}.tar",
        "input_format": "webdataset",
        "wds_image_key": "png",
        "wds_number_file_per_input_file": workload.images // count,
        "output_folder": str(output / "embeddings"),
        "enable_text": False,
        "batch_size": workload.plain_batch,
        "num_prepro_workers": prepro_workers,
    }
    start = time.perf_counter()
    ended = subprocess.run([python, "-c", DRIVER, json.dumps(options)], capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"clip-retrieval ended with exit code {ended.returncode}\n{ended.stderr[-3000:]}")
    stats = json.loads((output / "embeddings" / "stats" / "0.json").read_text(encoding="utf-8"))
    if stats["sample_count"] != workload.images:
        raise RuntimeError(f"clip-retrieval did {stats['sample_count']} of {workload.images} images")
    rate = stats["sample_count"] / stats["total_duration"]
    return {"images_per_s": rate, "wall_s": time.perf_counter() - start, "prepro_workers": prepro_workers}


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--clip-retrieval-python", type=Path, required=True, help="its environment's interpreter")
    options_of.add_argument("--repeats", type=int, default=3)
    options_of.add_argument("--drawing-count", type=int, default=20_000)
    options = options_of.parse_args()
    host, workload = machine(), drawings(options.scratch, options.drawing_count)
    python, output = options.clip_retrieval_python.absolute(), options.scratch / "clip-retrieval"
    tried = [clip_retrieval(python, workload, output, workers) for workers in PREPRO_WORKERS]
    best = max(tried, key=lambda run: run["images_per_s"])["prepro_workers"]
    say(f"clip-retrieval is fastest with {best} prepro workers")
    runs = []
    for repeat in range(options.repeats):
        theirs = clip_retrieval(python, workload, output, best)
        ours = scan(workload, options.scratch / "scan", TWO_ENCODERS)
        ratio = ours["steady_images_per_s"] / theirs["images_per_s"]
        runs.append({"clip_retrieval": theirs, "oodscan_images_per_s": ours["steady_images_per_s"],
                     "oodscan_wall_s": ours["wall_s"], "ratio": ratio})  # fmt: skip
        say(f"{repeat + 1} of {options.repeats}: {runs[-1]}")
    median = statistics.median(run["ratio"] for run in runs)
    print(json.dumps({"machine": host, "tried": tried, "median_ratio": median, "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
