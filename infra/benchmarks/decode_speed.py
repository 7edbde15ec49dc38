"""Images/s a core of `Decoder` in both modes, and by how much their pixels differ; what that does to scores.

CPU time of one thread, of three rounds the fastest, the modes in turn on each picture. `--scores`: the bundled
drawings and the photos by the bundled model, NegLabel and MCM, AUROC of animals against all other drawings.
`--scaling`: by how much JPEGs decoded at a fraction of their size differ from `exact`, over photos as they are and
enlarged, target sizes and resize modes; the mean and the worst picture of each bracket of "how many times as large as
the target".

python -m infra.benchmarks.decode_speed [--scores | --scaling] [--photos DIR] [--rounds 3]
"""

import argparse
import csv
import io
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.ImageFile import ImageFile

from infra.benchmarks.make_data import DRAWING_PIXELS, PHOTOS, photo_files
from infra.benchmarks.mixed_drawings import DEMO, MODEL, bank_of, candidates
from infra.benchmarks.workloads import DEMO_LABELS, machine
from infra.demo_model.measure import pictures
from infra.demo_model.shards import ID_SUBJECT
from ood_core.criteria import NegMining
from ood_core.decoding import Decoder
from ood_core.decoding.headers import is_plain
from ood_core.decoding.scaling import scaled
from ood_core.encoders import ClipEncoder
from ood_core.metrics import auroc
from ood_core.preprocessing import Preprocessing
from ood_core.scores import score_embeddings
from ood_core.vocabulary import id_labels

MODES = ("exact", "fast")
METHODS = ("neglabel", "mcm")
PHOTO, LARGE, DRAWINGS = (500, 375), 4, 200
TARGETS, ENLARGED, SCALES = (64, 224, 336), (1, 2, 4), (2, 4, 8)
BRACKETS = (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 6, 8)


def opened(content: bytes) -> ImageFile:
    return Image.open(io.BytesIO(content))


def enlarged(content: bytes, times: int) -> bytes:
    """The JPEG itself, or encoded anew so many times as wide and high."""
    if times == 1:
        return content
    image, file = opened(content), io.BytesIO()
    image.resize((times * image.width, times * image.height), Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    return file.getvalue()


def drawing(content: bytes) -> bytes:
    """A bundled drawing as a PNG of `DRAWING_PIXELS`."""
    file = io.BytesIO()
    opened(content).convert("RGB").resize((DRAWING_PIXELS, DRAWING_PIXELS)).save(file, "PNG")
    return file.getvalue()


def compared(contents: Sequence[bytes], size: int, rounds: int) -> dict[str, Any]:
    """Rates of both modes, one by one on each picture, so that whatever else runs slows both down alike."""
    decoders = {mode: Decoder(Preprocessing((size, size)), mode) for mode in MODES}
    best = {mode: np.full(len(contents), np.inf) for mode in MODES}
    differences = []
    for _, (place, content) in product(range(rounds), enumerate(contents)):
        found = {}
        for mode, decode in decoders.items():
            start = time.thread_time()
            found[mode] = decode(content).pixels.astype(int)
            best[mode][place] = min(best[mode][place], time.thread_time() - start)
        differences.append(np.abs(found["fast"] - found["exact"]))
    rates = {mode: len(contents) / float(best[mode].sum()) for mode in MODES}
    return {
        "pictures": len(contents),
        **{f"{mode}_images_per_s": round(rate) for mode, rate in rates.items()},
        "ratio": round(rates["fast"] / rates["exact"], 2),
        "largest_difference": int(max(found.max() for found in differences)),
        "mean_difference": round(float(np.mean([found.mean() for found in differences])), 4),
    }


def speed(photos: Sequence[bytes], rounds: int) -> dict[str, Any]:
    usual = [content for content in photos if opened(content).size == PHOTO]
    large = [enlarged(content, LARGE) for content in usual if opened(content).mode == "RGB"][:8]
    drawings = [drawing(content) for _, content in islice(pictures(DEMO / "shards"), DRAWINGS)]
    workloads = {
        "photos of 500 x 375 to 64": (usual, 64),
        "photos of 500 x 375 to 224": (usual, 224),
        "all photos to 224": (photos, 224),
        "drawings of 160 x 160 to 64": (drawings, 64),
        "photos of 2000 x 1500 to 64": (large, 64),
        "photos of 2000 x 1500 to 224": (large, 224),
    }
    return {name: compared(contents, size, rounds) for name, (contents, size) in workloads.items()}


def scores(photos: Mapping[str, bytes]) -> dict[str, Any]:
    """By method: how far apart both modes' scores are, and how well each tells animals from other drawings."""
    encoder, drawings = ClipEncoder.load(MODEL), dict(pictures(DEMO / "shards"))
    bank = bank_of(candidates(NegMining(), encoder), id_labels(DEMO_LABELS.read_bytes()), encoder)
    with (DEMO / "manifest.csv").open(encoding="utf-8") as file:
        animals = {row["key"] for row in csv.DictReader(file) if row["subject"] == ID_SUBJECT}
    inside = np.array([key in animals for key in drawings])
    found = {}
    for mode, (kind, files) in product(MODES, {"drawings": drawings, "photos": photos}.items()):
        decode = Decoder(encoder.preprocessing, mode)
        pixels = torch.from_numpy(np.stack([decode(content).pixels for content in files.values()]))
        found[mode, kind] = score_embeddings(bank, encoder.encode_images(pixels), METHODS)
    result: dict[str, Any] = defaultdict(dict)
    for method, kind in product(METHODS, ("drawings", "photos")):
        apart = np.abs(found["fast", kind][method] - found["exact", kind][method])
        result[method][kind] = {"largest_difference": float(apart.max()), "mean_difference": float(apart.mean())}
    for method, mode in product(METHODS, MODES):
        of_drawings = found[mode, "drawings"][method]
        result[method][f"{mode}_auroc"] = auroc(of_drawings[inside], of_drawings[~inside])
    return result


def scaling(photos: Sequence[bytes]) -> list[dict[str, Any]]:
    """By bracket of the scaled picture's width or height, whichever is nearer, over that of the resized one."""
    means: dict[tuple[float, float], list[float]] = defaultdict(list)
    for content, times in product(filter(lambda content: is_plain(opened(content), content), photos), ENLARGED):
        for times_as_large, difference in _differences(enlarged(content, times)):
            bracket = next(((low, high) for low, high in pairwise(BRACKETS) if low <= times_as_large < high), None)
            if bracket:
                means[bracket].append(difference)
    return [
        {"from": low, "to": high, "cases": len(found), "mean": float(np.mean(found)), "worst": max(found)}
        for (low, high), found in sorted(means.items())
    ]


def _differences(content: bytes) -> Iterator[tuple[float, float]]:
    whole = opened(content)
    for size, resize_mode in product(TARGETS, ("shortest", "squash")):
        preprocessing = Preprocessing((size, size), resize_mode=resize_mode)
        width, height = preprocessing.resized(*whole.size)
        exact = preprocessing(whole).astype(int)
        for scale in SCALES:
            times_as_large = min(whole.width / width, whole.height / height) / scale
            if BRACKETS[0] <= times_as_large < BRACKETS[-1]:
                pixels = scaled(opened(content), scale, preprocessing)
                yield times_as_large, float(np.abs(pixels - exact).mean())


def main() -> None:
    options_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options_of.add_argument("--photos", type=Path, default=PHOTOS, help="a folder of JPEGs")
    options_of.add_argument("--rounds", type=int, default=3)
    chosen = options_of.add_mutually_exclusive_group()
    chosen.add_argument("--scores", action="store_true", help="what `fast` does to scores, instead")
    chosen.add_argument("--scaling", action="store_true", help="what decoding at a fraction of the size does, instead")
    options = options_of.parse_args()
    torch.set_num_threads(1)
    photos = {path.name: path.read_bytes() for path in photo_files(options.photos)}
    result: dict[str, Any] = {"machine": machine(), "photos": len(photos)}
    if options.scores:
        result["scores"] = scores(photos)
    elif options.scaling:
        result["scaling"] = scaling(list(photos.values()))
    else:
        result["speed"] = speed(list(photos.values()), options.rounds)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
