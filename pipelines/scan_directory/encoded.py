"""The rows that the encode step has committed, as embeddings for later steps."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.vectors import vectors_of
from pipelines.inputs.listing import REQUESTS_AT_ONCE
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.embeddings import EmbeddingRows
from pipelines.inputs.readers.range_file import open_range
from pipelines.scan_directory.columns import EMBEDDING
from pipelines.scan_directory.layout import ENCODED, read_table, shard_file
from pipelines.storage import Directory, file_system


@dataclass(frozen=True)
class EncodedEmbeddings:
    """The embeddings that a scan's encode step has committed to a folder."""

    output: Directory
    dim: int
    folder: str = ENCODED

    def rows(self, shard: Shard) -> Iterator[EmbeddingRows]:
        """The shard's rows, all at once. Raises FileNotFoundError if it is not encoded."""
        yield encoded_rows(read_table(self.output, shard_file(self.folder, shard.id), ["key", EMBEDDING]), self.dim)

    def count(self, shards: Sequence[Shard]) -> int:
        """How many rows the shards have in all, by their files' footers."""
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            return sum(pool.map(self._count, shards))

    def _count(self, shard: Shard) -> int:
        files, path = file_system(f"{self.output.url}/{shard_file(self.folder, shard.id)}", self.output.options)
        return pq.read_metadata(open_range(files, path, files.info(path)["size"])).num_rows


def encoded_rows(table: pa.Table, dim: int) -> EmbeddingRows:
    """Rows of embeddings from a table of `encoded/`; those of bad records lack theirs."""
    ok = table[EMBEDDING].is_valid().to_numpy()
    vectors = np.zeros((len(table), dim), np.float32)
    vectors[ok] = vectors_of(table[EMBEDDING])
    rows = EmbeddingRows.of(table["key"].to_pylist(), vectors)
    rows.blame(~ok, "missing-embedding")
    return rows
