"""Read and decode: a shard to a stream of tables that hold the model's input, never a picture in full size.

Runs in a pool of its own beside the encoders, and does not import torch.
"""

import io
import struct
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from ood_core.preprocessing import Preprocessing
from pipelines.config.scan import Read
from pipelines.errors import first_line
from pipelines.inputs.plan import Shard, shards_of
from pipelines.inputs.readers.record import Record
from pipelines.inputs.records import records
from pipelines.scan_directory.columns import END_OF_SHARD

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError)
"""What Pillow's decoders raise on broken files."""

SCHEMA = pa.schema(
    {
        "shard": pa.string(),
        "index": pa.int64(),
        "key": pa.string(),
        "status": pa.string(),
        "error": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "pixels": pa.binary(),
        "read_s": pa.float64(),
        "decode_s": pa.float64(),
    }
)
ROWS_A_TABLE = 128
Image.MAX_IMAGE_PIXELS = None  # `decode` checks the caller's limit itself, before a pixel is decoded


@dataclass(frozen=True)
class Decoded:
    """A picture at the model's size, with its own size before; or why there is none."""

    status: str
    error: str | None = None
    width: int | None = None
    height: int | None = None
    pixels: bytes | None = None


@dataclass(frozen=True)
class DecodeShards:
    """Shards to tables of `SCHEMA`, one row per record in order and a last row of status END_OF_SHARD."""

    read: Read
    preprocessing: Preprocessing
    options: Mapping[str, Any]

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        """For Ray Data: rows of shards to tables."""
        for shard in shards_of(shards):
            yield from self.tables(shard)

    def tables(self, shard: Shard) -> Iterator[pa.Table]:
        rows: list[dict[str, Any]] = []
        for row in self._rows(shard):
            rows.append(row)
            if len(rows) == ROWS_A_TABLE:
                yield pa.Table.from_pylist(rows, SCHEMA)
                rows = []
        yield pa.Table.from_pylist(rows, SCHEMA)

    def _rows(self, shard: Shard) -> Iterator[dict[str, Any]]:
        index, start = 0, time.perf_counter()
        for record in records(shard, self.read, self.options):
            read = time.perf_counter()
            decoded = decode(record, self.preprocessing, self.read.max_image_pixels)
            times = {"read_s": read - start, "decode_s": time.perf_counter() - read}
            yield {"shard": shard.id, "index": index, "key": record.key, **vars(decoded), **times}
            index, start = index + 1, time.perf_counter()
        yield {"shard": shard.id, "index": index, "status": END_OF_SHARD}


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
            return Decoded("ok", None, width, height, preprocessing(image).tobytes())
    except UnidentifiedImageError:  # its message holds an address in memory, different at every try
        return Decoded("unreadable-image", f"not a picture of the formats {', '.join(FORMATS)}")
    except (*BROKEN, MemoryError) as error:
        message = first_line(error)
        return Decoded("truncated-image" if "truncated" in message.lower() else "unreadable-image", message)
