"""Checks what a scan says at its end: summary, mark of success and gallery."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ood_core.methods import score_column
from pipelines.errors import first_line
from pipelines.flags.summary import flags_summary
from pipelines.scan_directory.kinds import gallery_choices
from pipelines.scan_directory.layout import GALLERY_FILE, MANIFEST, SUCCESS_FILE, SUMMARY_FILE
from pipelines.scan_directory.summary import Tally
from pipelines.verify.recorded import Recorded
from pipelines.verify.shards import ScoreTable, score_columns
from pipelines.verify.tables import Inspection, UnfitError, required

CHOSEN = required(method=pa.string(), kind=pa.string(), rank=pa.int64())
PLACED = required(shard=pa.string(), index=pa.int64())


def check_summary(found: Inspection, statuses: Mapping[str, int] | None, tally: Tally | None) -> None:
    """Compares the summary with the counts of all records and with what the manifest comes to, as far as these are
    known."""
    names = found.output.names()
    if SUMMARY_FILE not in names:
        found.problems.append(f"{SUMMARY_FILE} is missing: the scan has not ended")
        return
    try:
        summary = json.loads(found.output.read(SUMMARY_FILE))
        counted, within_budget = dict(summary["statuses"]), summary["within_error_budget"]
        statuses = counted if statuses is None else dict(statuses)
        scored = statuses.get("ok", 0) > 0
    except Exception as error:  # JSON may hold anything
        found.problems.append(f"{SUMMARY_FILE} cannot be read: {first_line(error)}")
        return
    if counted != statuses:
        found.problems.append(f"{SUMMARY_FILE} counts {counted}, the score tables {statuses}")
    elif tally is not None:
        budget = dict(summary.get("flags") or {}).get("max_flagged")
        told = json.loads(json.dumps({**tally.described(), **flags_summary(found.output, tally, budget)}))
        other = [name for name, value in told.items() if summary.get(name) != value]
        found.problems += [f"{SUMMARY_FILE}: {name} is not what {MANIFEST}/ comes to" for name in other]
    if not scored:
        found.problems.append(f"nothing was scored: none of {sum(statuses.values())} records is ok")
    if not isinstance(within_budget, bool):
        found.problems.append(f"{SUMMARY_FILE}: within_error_budget is {within_budget!r}, not true or false")
    elif (within_budget and scored) != (SUCCESS_FILE in names):
        found.problems.append(f"{SUCCESS_FILE} and {SUMMARY_FILE} do not agree")


class GalleryCheck:
    """Compares the gallery with the choices of the manifest, and shard by shard with the score tables."""

    def __init__(self, found: Inspection, scan: Recorded, tally: Tally | None, deciding: str) -> None:
        self.found, self.columns, self.rows = found, score_columns(scan).names, None
        choices = None if tally is None else gallery_choices(tally, deciding)
        nothing = choices is not None and not len(choices)
        table = found.table(GALLERY_FILE, pa.schema(CHOSEN if nothing else [*CHOSEN, *PLACED]))
        if table is None:
            return
        with found.checking(GALLERY_FILE):
            if nothing and len(table):
                raise UnfitError("it shows images, and none were chosen")
            if choices is not None and not nothing:
                _check_choices(table, choices)
            self.rows = None if nothing else table

    def look_at(self, scores: ScoreTable) -> None:
        """Compares the shard's images in the gallery with their rows of the score table."""
        if self.rows is None:
            return
        with self.found.checking(GALLERY_FILE):
            shown = self.rows.filter(pa.array([shard == scores.shard.id for shard in self.rows["shard"].to_pylist()]))
            names = [name for name in self.columns if name in shown.column_names]
            if len(shown) and not shown.select(names).equals(scores.rows.select(names).take(shown["index"])):
                raise UnfitError(f"it shows images of {scores.shard.id} otherwise than {scores.name}")


def _check_choices(gallery: pa.Table, choices: pa.StructArray) -> None:
    """Raises UnfitError if the gallery does not show every image that was chosen, once for each choice."""
    columns = [score_column(method) for method in gallery["method"].to_pylist()]
    shown = zip(columns, *(gallery[name].to_pylist() for name in ("kind", "shard", "index")), strict=True)
    chosen: list[dict[str, Any]] = choices.to_pylist()
    if sorted(shown) != sorted((one["column"], one["kind"], one["shard"], one["index"]) for one in chosen):
        raise UnfitError("it does not show the images that were chosen")
    ranks: Counter[tuple[str, str]] = Counter()
    for method, kind, rank in zip(*(gallery[name].to_pylist() for name in ("method", "kind", "rank")), strict=True):
        if rank != ranks[method, kind]:
            raise UnfitError("its ranks are not 0, 1, 2, … in order")
        ranks[method, kind] += 1
