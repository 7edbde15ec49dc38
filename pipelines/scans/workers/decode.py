"""Decoding: a record to the model's input, never a picture in full size."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from ood_core.preprocessing import Preprocessing
from pipelines.errors import first_line
from pipelines.inputs.readers.record import Record

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError)
"""What Pillow's decoders raise on broken files."""

Image.MAX_IMAGE_PIXELS = None  # `decode` checks the caller's limit itself, before a pixel is decoded


@dataclass(frozen=True)
class Decoded:
    """A picture at the model's size, uint8 [height, width, 3], and its own size before; or why there is none."""

    status: str
    error: str | None = None
    width: int | None = None
    height: int | None = None
    pixels: np.ndarray | None = None


def decode(record: Record, preprocessing: Preprocessing, max_pixels: int) -> Decoded:
    """A record's picture, of an animation the first frame. A bad picture is a status, never an exception."""
    if record.status != "ok":
        return Decoded(record.status, record.error)
    if not record.content:
        return Decoded("empty-file", "0 bytes")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(record.content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                return Decoded("too-large", f"{width} x {height} pixels, more than {max_pixels}")
            return Decoded("ok", None, width, height, preprocessing(image))
    except UnidentifiedImageError:  # its message holds an address in memory, different at every try
        return Decoded("unreadable-image", f"not a picture of the formats {', '.join(FORMATS)}")
    except (*BROKEN, MemoryError) as error:
        message = first_line(error)
        return Decoded("truncated-image" if "truncated" in message.lower() else "unreadable-image", message)
