"""Writes one output file, of whatever kind, and reads it again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.config.scan import Read
from pipelines.errors import ReadError, first_line
from pipelines.exports.choice import Decided
from pipelines.exports.image_tars import member_names, tar_of
from pipelines.exports.output_files import SHARDS, OutputFile, placed
from pipelines.exports.read_back import check_table, check_tar
from pipelines.exports.tables import write_filtered
from pipelines.exports.tars import KeptImages, filtered_tar
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.images import ImageFile, read_images
from pipelines.inputs.readers.names import image_key
from pipelines.inputs.readers.range_file import RangeFile, open_range
from pipelines.inputs.readers.record import OF_ARCHIVES, UNREAD
from pipelines.inputs.readers.row_groups import DAMAGE, Table, open_table
from pipelines.inputs.readers.versions import check_unchanged
from pipelines.inputs.unchanged import while_unchanged
from pipelines.storage import Directory, file_system


@dataclass(frozen=True)
class FileWriter:
    """Writes output files to a directory. `read`: how the scan has read its input.

    Raises ReadError if the input cannot be read, or is no longer the planned one; MismatchError if its records, or
    those of the written file, are not those of the score table.
    """

    output: Directory
    read: Read

    def write(self, file: OutputFile, decided: Sequence[Decided]) -> bool:
        """Writes a file and reads it again; false if there is nothing to write, for no table can be read."""
        write = {"tar": self._tar, "parquet": self._table, "images": self._images}[file.shards[0].kind]
        return write(file.name, decided)

    def _tar(self, name: str, decided: Sequence[Decided]) -> bool:
        (one,) = decided
        shard, options = one.shard, self.output.options
        files, path = file_system(shard.urls[0], options)
        source = open_range(files, path, shard.size, retry_s=self.read.retry_s)
        pieces = filtered_tar(source, shard.size, kept_images(one))
        self._put(name, while_unchanged(pieces, shard, options, self.read.retry_s))
        kept = one.rows.filter(pa.array(one.keep))
        self._check_tar(name, kept["key"].to_pylist(), kept["length"].to_pylist())
        return True

    def _images(self, name: str, decided: Sequence[Decided]) -> bool:
        (one,) = decided
        options, shard = self.output.options, one.shard
        planned = zip(shard.keys, shard.files, one.keep, strict=True)
        chosen = [
            ImageFile(url, file_system(url, options)[1], key, size, version)
            for key, (url, size, version), keep in planned
            if keep
        ]
        names = member_names([file.key for file in chosen])
        self._put(name, tar_of(zip(names, self._contents(shard, chosen), strict=True)))
        self._check_tar(name, [image_key(name) or "" for name in names], [file.size for file in chosen])
        return True

    def _contents(self, shard: Shard, chosen: Sequence[ImageFile]) -> Iterator[bytes]:
        files = file_system(shard.urls[0], self.output.options)[0]
        for record in read_images(files, chosen, self.read.max_image_bytes, self.read.retry_s):
            if record.status != "ok":
                raise ReadError(f"{record.url}: {record.error}")
            yield record.content

    def _table(self, name: str, decided: Sequence[Decided]) -> bool:
        shard, keep = decided[0].shard, kept_rows(decided)
        files, path = file_system(shard.urls[0], self.output.options)
        planned = files, path, shard.size, next(iter(shard.files))[2], self.read.retry_s
        check_unchanged(*planned)
        table = self._opened(RangeFile(files, path, shard.size, retry_s=self.read.retry_s), keep)
        if table is None:
            return False
        with self.output.writing(f"{SHARDS}/{name}") as out:
            write_filtered(table, keep, out)
            check_unchanged(*planned)
        keys = [key for one in decided for key in one.rows["key"].filter(pa.array(one.keep)).to_pylist()]
        files, path, size = placed(self.output, name)
        check_table(RangeFile(files, path, size), self.read, keys, np.flatnonzero(keep).tolist())
        return True

    def _opened(self, file: RangeFile, keep: np.ndarray) -> Table | None:
        """The table; None if it cannot be read, and nothing of it is kept."""
        try:
            return open_table(file, self.read.max_image_bytes, self.read.max_rows_per_shard)
        except DAMAGE as error:
            if keep.any():
                raise ReadError(f"it is no readable table any more: {first_line(error)}") from error
            return None

    def _put(self, name: str, pieces: Iterator[bytes]) -> None:
        with self.output.writing(f"{SHARDS}/{name}") as out:
            for piece in pieces:
                out.write(piece)

    def _check_tar(self, name: str, keys: Sequence[str], lengths: Sequence[int | None]) -> None:
        files, path, size = placed(self.output, name)
        check_tar(open_range(files, path, size), size, keys, lengths)


def kept_images(decided: Decided) -> KeptImages:
    """Which images of a tar are kept, as its rows of the score table have them."""
    statuses = decided.rows["status"].to_pylist()
    end = next((row for row, status in enumerate(statuses) if status in (UNREAD, "crashed-worker")), len(statuses))
    return KeptImages(
        decided.rows["key"].to_pylist()[:end],
        decided.keep.tolist()[:end],
        damaged=any(status in OF_ARCHIVES for status in statuses),
        breaks_off=end < len(statuses),
    )


def kept_rows(decided: Sequence[Decided]) -> np.ndarray:
    """For each row of a table, by its number, whether it is kept."""
    ends = [one.shard.start + len(one.rows) for one in decided]
    keep = np.zeros(max(ends, default=0), bool)
    for one, end in zip(decided, ends, strict=True):
        keep[one.shard.start : end] = one.keep
    return keep
