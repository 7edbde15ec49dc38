"""Decodes one picture after another, from any number of threads, into pixels of a model's input size."""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from ood_core.decoding.headers import is_plain
from ood_core.decoding.scaling import scale_for, scaled
from ood_core.preprocessing import Preprocessing

Mode = Literal["fast", "exact"]
"""`exact`: OpenCLIP's own pixels, by Pillow. `fast`: plain JPEGs and PNGs by torchvision, large JPEGs at a quarter or
an eighth of their size, the rest as `exact`; the benchmark `decode_speed` says how much pixels differ. A mode `gpu`
could hand plain JPEGs to nvJPEG: it would need a device and whole batches of files."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError)
"""What Pillow's decoders raise on broken files."""

PILLOW = re.compile(r"PIL\b")
Image.MAX_IMAGE_PIXELS = None  # a Decoder checks the caller's limit itself, before a pixel is decoded


class DecodeError(Exception):
    """Why a file gives no picture: a `status` of the score table, and a line that says more."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Picture:
    """RGB pixels at the model's input size, and the picture's own size before."""

    pixels: UInt8[np.ndarray, "height width 3"]
    width: int
    height: int


@dataclass(frozen=True)
class Decoder:
    """Files to pictures; of an animation the first frame. EXIF orientation is left alone, as OpenCLIP does.

    Same bytes, mode and versions of the libraries, same pixels, whatever the number of threads that decode, or torch's.
    Pictures of more than `max_pixels` are refused before they are decoded.
    """

    preprocessing: Preprocessing
    mode: Mode = "fast"
    max_pixels: int = 100_000_000

    def __call__(self, content: bytes) -> Picture:
        """Raises DecodeError: empty-file, too-large, truncated-image or unreadable-image, the same in both modes."""
        with opened(content, self.max_pixels) as image:
            width, height = image.size  # of the file: to decode it at a fraction of its size changes this
            return Picture(self._pixels(image, content), width, height)

    def _pixels(self, image: ImageFile, content: bytes) -> UInt8[np.ndarray, "height width 3"]:
        if self.mode == "exact" or not is_plain(image, content):
            return self.preprocessing(image)
        scale = scale_for(image, self.preprocessing) if image.format == "JPEG" else 1
        if scale > 1:
            return scaled(image, scale, self.preprocessing)
        from ood_core.decoding.tensors import decoded, resized

        pixels = decoded(content, image.format == "PNG")
        return self.preprocessing(image) if pixels is None else resized(pixels, self.preprocessing)


@contextmanager
def opened(content: bytes, max_pixels: int) -> Iterator[ImageFile]:
    """A file opened by Pillow, nothing of it decoded yet. Raises DecodeError, also for what goes wrong inside."""
    if not content:
        raise DecodeError("empty-file", "0 bytes")
    _silence_pillow()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise DecodeError("too-large", f"{width} x {height} pixels, more than {max_pixels}")
            yield image
    except UnidentifiedImageError:  # its message holds an address in memory, different at every try
        raise DecodeError("unreadable-image", f"not a picture of the formats {', '.join(FORMATS)}") from None
    except (*BROKEN, MemoryError) as error:
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        status = "truncated-image" if "truncated" in message.lower() else "unreadable-image"
        raise DecodeError(status, message) from None


def _silence_pillow() -> None:
    """Ignores Pillow's warnings of odd metadata from now on: `catch_warnings` is not safe among threads."""
    if not any(action == "ignore" and module == PILLOW for action, _, _, module, _ in warnings.filters):
        warnings.filterwarnings("ignore", module=PILLOW.pattern)
