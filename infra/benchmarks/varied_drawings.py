"""Image embeddings that a model made: the demo's drawings and variations of them, by the bundled model. Seeded."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from infra.benchmarks.text_speed import bundled
from infra.benchmarks.workloads import SEED

DRAWINGS = 634
SMALLEST_CROP = 0.8


def pictures(tars: Sequence[Path], count: int) -> Iterator[Image.Image]:
    """The drawings as they are, then copies cropped at random, the odd ones flipped too."""
    rng = np.random.default_rng(SEED)
    files = [tar.extractfile(member) for tar in map(tarfile.open, tars) for member in tar]
    originals = [Image.open(io.BytesIO(file.read())).convert("RGB") for file in files if file]
    for number in range(count):
        copy, picture = number // len(originals), originals[number % len(originals)]
        if copy:
            width, height = (round(rng.uniform(SMALLEST_CROP, 1) * side) for side in picture.size)
            left, top = rng.integers(0, picture.width - width + 1), rng.integers(0, picture.height - height + 1)
            picture = picture.crop((int(left), int(top), int(left) + width, int(top) + height))
        yield ImageOps.mirror(picture) if copy % 2 else picture


def embedded(tars: Sequence[Path], count: int) -> Tensor:
    encoder = bundled()
    pixels = np.stack([encoder.preprocessing(picture) for picture in pictures(tars, count)])
    return encoder.encode_images(torch.from_numpy(pixels))
