"""Which records of a scan are kept, and why each of the others is dropped."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.methods import Method, deciding_method, score_column
from pipelines.errors import CallerError
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.record import OF_ARCHIVES
from pipelines.scan_directory.columns import LOCATOR, flag_column
from pipelines.scan_directory.layout import THRESHOLDS_KEY

FLAGGED = "flagged"
"""Why a record is dropped that has a score; of others their status says it."""

NEVER_KEPT = (*OF_ARCHIVES, "too-large")
"""Statuses of records that cannot be copied: what could not be read, and what is above a limit."""

PLACED = ("key", "shard", "index", "status", *LOCATOR)
"""The columns of a score table that every export looks at; those of a rescoring do not tell where an image is."""


@dataclass(frozen=True)
class Choice:
    """What is dropped: the records that `method` flags, or that it scores below `below`; and those in error.

    `keep_errors`: these stay, but for those of `NEVER_KEPT`. `threshold`: by which the flags were made, for the record.
    """

    method: str
    below: float | None = None
    keep_errors: bool = False
    threshold: float | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the score tables that are looked at."""
        flags = () if self.below is not None else (flag_column(self.method),)
        return (*PLACED, score_column(self.method), *flags)

    def reasons(self, rows: pa.Table) -> pa.Array:
        """For each row of a score table why it is dropped, `FLAGGED` or its status; null if it is kept."""
        status = np.asarray(rows["status"], object)
        if self.below is None:
            flagged = np.asarray(rows[flag_column(self.method)].fill_null(False))
        else:
            flagged = np.asarray(rows[score_column(self.method)], np.float64) < self.below  # no score: nan
        bad = np.isin(status, NEVER_KEPT) if self.keep_errors else status != "ok"
        found = np.full(len(rows), None, object)
        found[flagged] = FLAGGED
        found[bad] = status[bad]
        return pa.array(found, pa.string())

    def described(self) -> dict[str, Any]:
        """The choice as an export records it."""
        decided_by = {"below": self.below} if self.below is not None else {"threshold": self.threshold}
        return {"by": self.method, **decided_by, "keep_errors": self.keep_errors}


def chosen(methods: Mapping[str, Method], by: str | None, below: float | None, keep_errors: bool) -> Choice:
    """The choice that options ask for; `by` None: of the deciding method. Raises CallerError."""
    if by is not None and by not in methods:
        raise CallerError(f"--by {by!r}: the scan has scores by {', '.join(methods)}")
    if below is not None and math.isnan(below):
        raise CallerError("--below nan is no score")
    return Choice(by or deciding_method(methods), below, keep_errors)


def with_threshold(choice: Choice, schema: pa.Schema) -> Choice:
    """The choice with the threshold of its flags, which a score table's schema tells.

    Raises CallerError if the choice goes by flags and there are none.
    """
    if choice.below is not None:
        return choice
    if flag_column(choice.method) not in schema.names:
        raise CallerError(
            f"--by {choice.method}: the scan has no flags by it; with --below SCORE, what scores lower is dropped"
        )
    thresholds = json.loads((schema.metadata or {}).get(THRESHOLDS_KEY, b"{}"))
    return replace(choice, threshold=thresholds.get(choice.method))


@dataclass(frozen=True)
class Decided:
    """The rows of a shard's score table, and for each why it is dropped; null: it is kept."""

    shard: Shard
    rows: pa.Table
    reasons: pa.Array

    @property
    def keep(self) -> np.ndarray:
        """For each row whether it is kept."""
        return np.asarray(self.reasons.is_null())
