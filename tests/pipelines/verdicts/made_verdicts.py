"""Tables of verdicts by hand, on images whose embeddings are unit vectors of a few numbers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.verdicts.kept import Verdicts
from pipelines.verdicts.tables import COLUMNS, schema

DIM = 4


def image(number: int) -> list[float]:
    """The unit vector of an image, which half precision holds as it is; of each of the first sixteen another."""
    place, sign = number % DIM, -1.0 if number // DIM % 2 else 1.0
    values = [0.0] * DIM
    values[place] = sign
    if number >= 2 * DIM:
        values[place], values[(place + 1) % DIM] = 0.6 * sign, 0.8
    return [float(value) for value in np.array(values, np.float16)]


def said(number: int, belongs: float = 1.0, by: str | None = "mara", minute: int | None = 0, **more: Any) -> dict:
    """A row: what was said of an image. `minute`: when; None if that is not known."""
    at = None if minute is None else datetime(2026, 1, 31, 7, minute, tzinfo=UTC)
    row = {
        "key": f"{number}.jpg", "shard": "a", "index": number, "belongs": belongs, "by": by, "at": at,
        "description": None, "embedding": image(number),
    }  # fmt: skip
    return row | more


def table(rows: Sequence[dict], weights: str | None = None) -> pa.Table:
    columns = [pa.array([row[name] for row in rows], kind) for name, kind in COLUMNS.items()]
    halves = np.array([row["embedding"] for row in rows], np.float16).reshape(-1)
    embeddings = pa.FixedSizeListArray.from_arrays(pa.array(halves), DIM)
    made = pa.table([*columns, embeddings], schema=schema(DIM))
    return made.replace_schema_metadata({"oodscan.weights": weights} if weights else None)


def verdicts(*rows: dict, weights: str | None = None) -> Verdicts:
    return Verdicts.of([table(rows)], DIM, "the answers", weights)
