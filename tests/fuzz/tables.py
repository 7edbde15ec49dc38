"""Small Parquet files as different writers make them, and mutants of them that hit what a reader trusts."""

import io
import random
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.mutations import ANYWHERE, MAGIC, Mutate, flip, write

ROWS, ROWS_PER_GROUP = 24, 8
IMAGES = [random.Random(row).randbytes(40 + row) if row % 7 else None for row in range(ROWS)]
TAIL = 8
"""Bytes behind the footer: its length and the format's mark."""
PAGE_HEADER_BYTES = 64
COLUMNS: dict[str, dict[str, Any]] = {
    "bytes": {"image": IMAGES},
    "keys of text": {"key": [f"ä{row}" for row in range(ROWS)], "image": IMAGES},
    "keys of numbers": {"id": list(range(ROWS)), "jpg": pa.array(IMAGES, pa.large_binary())},
    "keys of times": {"id": pa.array(range(ROWS), pa.timestamp("us")), "image": pa.array(IMAGES, pa.binary())},
    "keys of bytes": {"key": [b"\xff%d" % row for row in range(ROWS)], "image": IMAGES},
    "keys of lists": {"key": [[row, 1] for row in range(ROWS)], "image": IMAGES},
    "dictionaries": {
        "key": pa.array(["a", "b"] * 12).dictionary_encode(),
        "image": pa.array(IMAGES).dictionary_encode(),
    },
    "fixed size": {"image": pa.array([None if image is None else image[:40] for image in IMAGES], pa.binary(40))},
    "structs": {"image": [{"bytes": image, "path": f"{row}.jpg"} for row, image in enumerate(IMAGES)]},
    "lists": {"image": [[image] for image in IMAGES], "key": [1.5] * ROWS},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"compression": "none", "use_dictionary": False},
    "snappy": {"compression": "snappy"},
    "zstd, second page version": {"compression": "zstd", "data_page_version": "2.0"},
    "gzip, indices": {"compression": "gzip", "write_page_index": True, "data_page_size": 64},
    "lz4, checksums": {"compression": "lz4", "write_page_checksum": True},
    "brotli, no Arrow schema": {"compression": "brotli", "store_schema": False, "use_dictionary": False},
}


@dataclass(frozen=True)
class Table:
    """A valid file; of each row group which bytes it lies in, and where the footer begins."""

    content: bytes
    groups: list[tuple[int, int]]
    footer: int

    @classmethod
    def of(cls, columns: dict[str, Any], options: dict[str, Any]) -> "Table":
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer, row_group_size=ROWS_PER_GROUP, **options)
        content = buffer.getvalue()
        footer = len(content) - TAIL - int.from_bytes(content[-TAIL:-4], "little")
        return cls(content, _groups(pq.read_metadata(buffer)), footer)

    def ways(self) -> dict[str, Mutate]:
        """Everything that is done to any file, and what is done to a Parquet file's own places."""

        def footer_length(content: bytearray, chance: random.Random) -> None:
            write(content, max(len(content) - TAIL, 0), chance.choice([*MAGIC, chance.randbytes(4)])[:4])

        def footer(content: bytearray, chance: random.Random) -> None:
            _change(content, self.footer, len(self.content) - TAIL, chance)

        def page_header(content: bytearray, chance: random.Random) -> None:
            start, _ = chance.choice(self.groups)
            _change(content, start, start + PAGE_HEADER_BYTES, chance)

        def pages(content: bytearray, chance: random.Random) -> None:
            _change(content, 4, self.footer, chance)

        return {**ANYWHERE} | {way.__name__: way for way in (footer_length, footer, page_header, pages)}


def _groups(metadata: Any) -> list[tuple[int, int]]:
    found = []
    for group in range(metadata.num_row_groups):
        chunks = [metadata.row_group(group).column(number) for number in range(metadata.num_columns)]
        starts = [chunk.dictionary_page_offset or chunk.data_page_offset for chunk in chunks]
        ends = [start + chunk.total_compressed_size for start, chunk in zip(starts, chunks, strict=True)]
        found.append((min(starts), max(ends)))
    return found


def _change(content: bytearray, start: int, end: int, chance: random.Random) -> None:
    """Writes a magic value between two places, or changes a few bytes there."""
    part = content[start:end]
    if part and chance.random() < 0.5:
        write(part, chance.randrange(len(part)), chance.choice(MAGIC))
    else:
        flip(part, chance)
    content[start:end] = part


TABLES = [Table.of(columns, options) for columns in COLUMNS.values() for options in OPTIONS.values()]
