"""Whatever a table of embeddings raises becomes rows."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import ReadError
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers import embeddings
from pipelines.inputs.readers.embeddings import EmbeddingRows
from pipelines.inputs.stored_embeddings import rows_or_why

SHARD = Shard("a", "embeddings", ("memory:///a.parquet",), (), (1,), "", 100, 10)


class Breaking:
    """Three rows, and then an error."""

    dim = 2

    def __init__(self, error: Exception) -> None:
        self.error = error

    def rows(self, shard: Shard) -> Iterator[EmbeddingRows]:  # noqa: ARG002
        yield EmbeddingRows.of(["a", "b", "c"], np.eye(3, 2, dtype=np.float32))
        raise self.error

    def count(self, shards: Sequence[Shard]) -> int:
        return sum(shard.rows or 0 for shard in shards)


@pytest.mark.parametrize("error", [ReadError("no"), ValueError("no"), pa.ArrowInvalid("no\nmore"), RuntimeError("no")])
def test_rows_that_cannot_be_read_say_why(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(embeddings, "ROWS_PER_BATCH", 4)
    first, *left = rows_or_why(Breaking(error), SHARD)
    assert first.statuses.tolist() == ["ok"] * 3
    assert [rows.statuses.tolist() for rows in left] == [["unreadable-file"] * 4, ["unreadable-file"] * 3]
    assert {why for rows in left for why in rows.errors} == {"no"}


def test_what_stops_a_process_is_not_a_row() -> None:
    with pytest.raises(KeyboardInterrupt):
        list(rows_or_why(Breaking(KeyboardInterrupt()), SHARD))  # pyright: ignore[reportArgumentType]
