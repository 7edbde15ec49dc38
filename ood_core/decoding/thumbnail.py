"""Thumbnails: small pictures for people to look at."""

import io

import numpy as np
from PIL import Image

from ood_core.decoding.decoder import opened
from ood_core.preprocessing import as_rgb

SIDE = 128
"""Pixels of a thumbnail's longer side, at most."""


def thumbnail(content: bytes, max_pixels: int = 100_000_000, max_scans: int = 64, side: int = SIDE) -> bytes:
    """The whole picture as a small WebP file without metadata; as models see it, so EXIF orientation is left alone.

    `side`: pixels of its longer side, at most. Raises DecodeError for a file that is no picture, of more than
    `max_pixels`, or a JPEG of more than `max_scans`.
    """
    written = io.BytesIO()
    with opened(content, max_pixels, max_scans) as image:
        image.draft("RGB", (side, side))
        small = as_rgb(image)
        small.thumbnail((side, side))
        Image.fromarray(np.asarray(small)).save(written, "WEBP", quality=80)
    return written.getvalue()
