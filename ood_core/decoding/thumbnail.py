"""Small pictures made of whole files: thumbnails for people to look at, clean pictures for a model to be shown."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ood_core.decoding.decoder import opened
from ood_core.preprocessing import as_rgb

SIDE = 128
"""Pixels of a thumbnail's longer side, at most."""
CLEAN_SIDE = 448
"""Pixels of a clean picture's longer side, at most, unless another number is asked for."""
LEAST_SIDE = 32
"""Pixels of a clean picture's shorter side, at least: vision models refuse what is narrower, or many times as long."""


def thumbnail(content: bytes, max_pixels: int = 100_000_000, max_scans: int = 64, side: int = SIDE) -> bytes:
    """The whole picture as a small WebP file without metadata; as models see it, so EXIF orientation is left alone.

    `side`: pixels of its longer side, at most. Raises DecodeError for a file that is no picture, of more than
    `max_pixels`, or a JPEG of more than `max_scans`.
    """
    return _written(_small(content, side, max_pixels, max_scans), "WEBP", quality=80)


def clean_picture(
    content: bytes, max_side: int = CLEAN_SIDE, max_pixels: int = 100_000_000, max_scans: int = 64
) -> bytes:
    """The whole picture as a JPEG made of its pixels alone, to be shown to a model; as `thumbnail` otherwise.

    Its longer side has at most `max_side` pixels; a side of fewer than `LEAST_SIDE` is stretched to so many.
    """
    small = Image.fromarray(_small(content, max_side, max_pixels, max_scans))
    size = max(small.width, LEAST_SIDE), max(small.height, LEAST_SIDE)
    if size != small.size:
        small = small.resize(size)
    return _written(np.asarray(small), "JPEG", quality=95)


def _small(content: bytes, side: int, max_pixels: int, max_scans: int) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels of a picture whose longer side has at most so many. Raises DecodeError."""
    with opened(content, max_pixels, max_scans) as image:
        image.draft("RGB", (side, side))
        small = as_rgb(image)
        small.thumbnail((side, side))
        return np.asarray(small)


def _written(pixels: UInt8[np.ndarray, "height width 3"], form: str, quality: int) -> bytes:
    """A file of the pixels and nothing else."""
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, form, quality=quality)
    return written.getvalue()
