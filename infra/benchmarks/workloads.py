"""What is measured: a model, its label bank and pictures, made once in the scratch folder; `oodscan` as a command."""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from infra.benchmarks import make_data
from pipelines.runtime.model import BUNDLED_DIRECTORY

OODSCAN = Path(sys.executable).with_name("oodscan")
DEMO_LABELS = make_data.REPOSITORY / "pipelines" / "demo" / "id_labels.txt"
VIT_WORDS = 1000
SEED = 0


@dataclass(frozen=True)
class Workload:
    """`model` as OpenCLIP and `oodscan --model` name it. `plain_batch`: images a batch in the plain loop."""

    name: str
    model: str
    bank: Path
    tars: list[Path]
    images: int
    plain_batch: int


def drawings(scratch: Path, count: int) -> Workload:
    """Drawings by the bundled model."""
    return _bundled(scratch, "drawings", make_data.drawings(scratch / f"drawings-{count}", count), count)


def jpegs(scratch: Path, count: int, source: Path) -> Workload:
    """Photos by the bundled model, which takes little time, so that decoding decides."""
    return _bundled(scratch, "photos", make_data.photos(scratch / f"photos-{count}", count, source), count)


def photos(scratch: Path, count: int, source: Path) -> Workload:
    """ViT-B-32 with random weights: how fast it is does not depend on them."""
    tars = make_data.photos(scratch / f"photos-{count}", count, source)
    model = f"local-dir:{_random_vit(scratch / 'vit-b-32')}"
    labels = scratch / "words.txt"
    labels.write_text("\n".join(_nouns(VIT_WORDS)) + "\n", encoding="utf-8")
    bank = _bank(scratch, model, DEMO_LABELS, ["--corpus", str(labels), "--fraction", "1"])
    return Workload(f"ViT-B-32, {count} photos", model, bank, tars, count, 32)


def oodscan(
    arguments: Sequence[str | Path], environment: dict[str, str] | None = None, checkout: Path | None = None
) -> None:
    """Runs the command, or that of another checkout; raises with its last lines if it fails."""
    command: list[str | Path] = [OODSCAN] if checkout is None else [sys.executable, "-m", "pipelines"]
    environment = dict(environment or os.environ) | ({"PYTHONPATH": str(checkout)} if checkout else {})
    ended = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=checkout
    )
    if ended.returncode:
        raise RuntimeError(f"oodscan {' '.join(map(str, arguments))}: exit {ended.returncode}\n{ended.stderr[-3000:]}")


def scan_arguments(workload: Workload, output: Path, *more: str, method: str = "neglabel") -> list[str | Path]:
    inputs = [argument for tar in workload.tars for argument in ("--input", tar)]
    return ["scan", *inputs, "--labels", workload.bank, "--output", output, "--method", method, *more]


def parser(description: str | None) -> argparse.ArgumentParser:
    """With the options that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(tempfile.gettempdir()) / "oodscan-benchmarks"
    made.add_argument("--scratch", type=Path, default=default, help=f"data and outputs; default {default}")
    return made


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    packages = ("oodscan", "torch", "open_clip_torch", "ray", "pillow", "pyarrow")
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _bundled(scratch: Path, pictures: str, tars: list[Path], count: int) -> Workload:
    """The bundled model, its demo's ID labels, all of WordNet as the corpus."""
    model = f"local-dir:{BUNDLED_DIRECTORY}"
    bank = _bank(scratch, model, DEMO_LABELS, [])
    return Workload(f"bundled model, {count} {pictures}", model, bank, tars, count, 256)


def _bank(scratch: Path, model: str, id_labels: Path, more: Sequence[str]) -> Path:
    """The label bank, kept for as long as the weights and the labels are the same."""
    files = [*sorted(Path(model.removeprefix("local-dir:")).iterdir()), id_labels]
    made_from = [path.read_bytes() for path in files] + [word.encode() for word in more]
    digest = hashlib.sha256(b"".join(made_from)).hexdigest()
    bank = scratch / f"labels-{digest[:12]}"
    if not (bank / "bank.json").exists():
        say(f"label bank: {bank}")
        oodscan(["labels", "build", "--model", model, "--id-labels", id_labels, "--output", bank, *more])
    return bank


def _random_vit(directory: Path) -> Path:
    config_file = directory / "open_clip_config.json"
    if config_file.exists():
        return directory
    import open_clip
    import torch
    from safetensors.torch import save_model

    directory.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = open_clip.create_model("ViT-B-32")
    save_model(model, str(directory / "open_clip_model.safetensors"))
    described = {
        "model_cfg": open_clip.get_model_config("ViT-B-32"),
        "preprocess_cfg": open_clip.get_model_preprocess_cfg(model),
    }
    config_file.write_text(json.dumps(described, indent=2), encoding="utf-8")
    return directory


def _nouns(count: int) -> list[str]:
    from ood_core.vocabulary import wordnet_corpus

    return [word.text for word in wordnet_corpus(("noun.artifact",))][:count]


def _lines(file: str) -> list[str]:
    path = Path(file)
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
