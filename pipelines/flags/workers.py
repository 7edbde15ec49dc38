"""What tasks do to flag a scan: each score table gets its columns of flags, and a receipt that counts them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ood_core.methods import score_column
from pipelines.scan_directory.breakdown import breakdown
from pipelines.scan_directory.columns import SCORE_PREFIX, flag_column, flag_names
from pipelines.scan_directory.kinds import flagged_choices
from pipelines.scan_directory.layout import THRESHOLDS_KEY
from pipelines.scan_directory.receipts import Receipt
from pipelines.scan_directory.replace_tables import ReplaceTables
from pipelines.storage import Directory


@dataclass(frozen=True)
class FlagSpec:
    """What the tasks need. `thresholds`: by method; `deciding`: the method by which images are chosen and counted."""

    output: Directory
    fingerprint: str
    thresholds: Mapping[str, float]
    deciding: str
    group_by: str


class FlagShards(ReplaceTables):
    """Flags the score tables of some shards. A table that has these very flags is not written again."""

    def __init__(self, spec: FlagSpec) -> None:
        super().__init__(spec.output, spec.fingerprint)
        self.spec = spec

    def made(self, shard: str, rows: pa.Table) -> pa.Table:  # noqa: ARG002
        """The rows with flags, unless they have these very ones."""
        flagged = with_flags(rows, self.spec.thresholds)
        is_other = flagged.schema.metadata != rows.schema.metadata or flagged.column_names != rows.column_names
        return flagged if is_other else rows

    def receipt(self, shard: str, rows: pa.Table, content: bytes) -> Receipt:
        """The receipt, which counts the flags and breaks the images down."""
        receipt, scores = super().receipt(shard, rows, content), score_column(self.spec.deciding)
        choices, flags = [receipt["choices"]], flag_names(rows)
        if (deciding := flag_column(self.spec.deciding)) in flags:
            choices.append(flagged_choices(shard, rows, scores, deciding))
        return receipt | {
            "choices": pa.concat_arrays(choices),
            "flagged": [(name, rows[name].to_pylist().count(True)) for name in flags],
            "breakdown": breakdown(rows, scores, self.spec.group_by),
        }


def with_flags(rows: pa.Table, thresholds: Mapping[str, float]) -> pa.Table:
    """The rows of a score table with a column of flags for each method that has a threshold, behind the scores.

    True: the score is below the threshold; null: there is no score. Flags that the rows have already are replaced.
    """
    kept = rows.drop_columns(flag_names(rows)).column_names
    last = max((place for place, name in enumerate(kept) if name.startswith(SCORE_PREFIX)), default=len(kept) - 1)
    columns = {name: rows[name] for name in kept[: last + 1]}
    columns |= {flag_column(name): _below(rows[score_column(name)], cut) for name, cut in thresholds.items()}
    columns |= {name: rows[name] for name in kept[last + 1 :]}
    metadata = {**(rows.schema.metadata or {}), THRESHOLDS_KEY: json.dumps(dict(thresholds), sort_keys=True).encode()}
    return pa.table(columns, metadata=metadata)


def _below(scores: pa.ChunkedArray, cut: float) -> pa.Array:
    values = np.asarray(scores.to_numpy(), np.float64)
    return pa.array(values < cut, mask=np.isnan(values))
