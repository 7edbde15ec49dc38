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
from PIL.IcoImagePlugin import IcoImageFile
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from ood_core.decoding.headers import is_plain
from ood_core.decoding.kinds import kind_of_bytes
from ood_core.decoding.png import without_metadata
from ood_core.decoding.scaling import scale_for, scaled
from ood_core.preprocessing import Preprocessing

Mode = Literal["fast", "exact"]
"""`exact`: OpenCLIP's own pixels, by Pillow. `fast`: plain JPEGs and PNGs by torchvision, large JPEGs at a quarter or
an eighth of their size, the rest as `exact`; the benchmark `decode_speed` says how much pixels differ. A mode `gpu`
could hand plain JPEGs to nvJPEG: it would need a device and whole batches of files."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "ICO", "DIB", "TGA")
"""The formats that are read, as Pillow calls them, whatever the file's suffix. MPO is JPEG; TGA only with its footer,
for its header has no mark of its own."""
TGA_FOOTER = b"TRUEVISION-XFILE.\0"
TILE_WIDTH, TILE_LENGTH = 322, 323
SCAN = b"\xff\xda"
"""What each scan of a JPEG begins with; within a scan these two bytes never come."""
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
    Pictures of more than `max_pixels`, and JPEGs of more than `max_scans` scans, each of which goes over every pixel,
    are refused before they are decoded.
    """

    preprocessing: Preprocessing
    mode: Mode = "fast"
    max_pixels: int = 100_000_000
    max_scans: int = 64

    def __call__(self, content: bytes) -> Picture:
        """Raises DecodeError: empty-file, too-large, truncated-image or unreadable-image, the same in both modes."""
        with opened(content, self.max_pixels, self.max_scans) as image:
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
def opened(content: bytes, max_pixels: int, max_scans: int = 64) -> Iterator[ImageFile]:
    """A file opened by Pillow, nothing of it decoded yet. Raises DecodeError, also for what goes wrong inside."""
    if not content:
        raise DecodeError("empty-file", "0 bytes")
    _silence_pillow()
    formats = FORMATS if TGA_FOOTER in content[-len(TGA_FOOTER) :] else FORMATS[:-1]
    try:
        with Image.open(io.BytesIO(without_metadata(content)), formats=formats) as image:
            for width, height in _sizes(image):
                if width * height > max_pixels:
                    raise DecodeError("too-large", f"{width} x {height} pixels, more than {max_pixels}")
            if image.format in ("JPEG", "MPO") and (scans := content.count(SCAN)) > max_scans:
                raise DecodeError("too-large", f"{scans} scans, more than {max_scans}")
            yield image
    except UnidentifiedImageError:  # its message holds an address in memory, different at every try
        known = f"not a picture of the formats {', '.join(FORMATS)}"
        found = kind_of_bytes(content)
        raise DecodeError("unreadable-image", f"{found}, {known}" if found else known) from None
    except (*BROKEN, MemoryError) as error:
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        status = "truncated-image" if "truncated" in message.lower() else "unreadable-image"
        found = kind_of_bytes(content)
        raise DecodeError(status, f"{found}: {message}" if found else message) from None


def _sizes(image: ImageFile) -> Iterator[tuple[int, int]]:
    """The sizes of all that is decoded to show the picture: its own, a TIFF's tiles, the pictures within an icon."""
    yield image.size
    if isinstance(image, TiffImageFile) and TILE_WIDTH in image.tag_v2 and TILE_LENGTH in image.tag_v2:
        yield image.tag_v2[TILE_WIDTH], image.tag_v2[TILE_LENGTH]
    if isinstance(image, IcoImageFile):
        yield image.ico.frame(image.ico.getentryindex(image.size)).size


def _silence_pillow() -> None:
    """Ignores Pillow's warnings of odd metadata from now on: `catch_warnings` is not safe among threads."""
    if not any(action == "ignore" and module == PILLOW for action, _, _, module, _ in warnings.filters):
        warnings.filterwarnings("ignore", module=PILLOW.pattern)
