"""Checks the flags of a scan: every score table has those that the recorded thresholds make, and all are counted."""

import json

from pipelines.flags.thresholds import Thresholds
from pipelines.flags.workers import with_flags
from pipelines.scan_directory.columns import flag_names
from pipelines.scan_directory.layout import MANIFEST, SCORES, SUMMARY_FILE, THRESHOLDS_FILE, THRESHOLDS_KEY
from pipelines.scan_directory.summary import Tally
from pipelines.verify.recorded import Recorded
from pipelines.verify.shards import ScoreTable
from pipelines.verify.tables import Inspection, UnfitError


def thresholds(found: Inspection, scan: Recorded) -> Thresholds | None:
    """The recorded thresholds; None, which is a problem, if there are none that can be read, or they are of others."""
    content = found.content(THRESHOLDS_FILE)
    if content is None:
        return None
    with found.checking(THRESHOLDS_FILE):
        recorded = Thresholds.from_json(json.loads(content))
        if strange := {*recorded.methods, recorded.deciding} - scan.methods.keys():
            raise UnfitError(f"it is of {min(strange)}, and the scan is not")
        return recorded
    return None


def check_counted(found: Inspection, tally: Tally | None) -> None:
    """Adds a problem if the scan has ended and the manifest tells of score tables without flags."""
    if tally is not None and not tally.is_flagged and found.output.exists(SUMMARY_FILE):
        found.problems.append(f"{MANIFEST}/ does not count the flags of every shard")


def check_flags(found: Inspection, scores: ScoreTable, recorded: Thresholds) -> None:
    """Compares a score table's flags with its scores and the thresholds."""
    with found.checking(scores.name):
        expected = with_flags(scores.rows, recorded.values)
        names = flag_names(expected)
        if flag_names(scores.rows) != names or not scores.rows.select(names).equals(expected.select(names)):
            raise UnfitError(f"its flags are not those of {THRESHOLDS_FILE} and its scores")
        if (scores.rows.schema.metadata or {}).get(THRESHOLDS_KEY) != expected.schema.metadata[THRESHOLDS_KEY]:
            raise UnfitError(f"it says that its flags in {SCORES}/ were made by other thresholds")
