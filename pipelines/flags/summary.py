"""What a scan's flags come to: for the summary, the terminal and the exit code. Free of Ray."""

from dataclasses import asdict
from typing import Any

from ood_core.calibration import images_needed, share_interval
from pipelines.flags.asked import AskedFlags
from pipelines.flags.thresholds import recorded_thresholds
from pipelines.scan_directory.columns import flag_column
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory


def is_flagged(output: Directory, asked: AskedFlags, tally: Tally) -> bool:
    """Whether the score tables have the flags that are asked for, and their receipts count them."""
    known = recorded_thresholds(output)
    wanted = asked.identity(), asked.deciding, asked.group_by
    return tally.is_flagged and known is not None and (known.asked, known.deciding, known.group_by) == wanted


def flags_summary(output: Directory, tally: Tally, max_flagged: float | None) -> dict[str, Any]:
    """The part of the summary that tells of thresholds and flags; none if there are no thresholds."""
    known = recorded_thresholds(output)
    if known is None:
        return {}
    methods = {}
    for name, threshold in known.methods.items():
        images = tally.flagged[flag_column(name)]
        low, high = share_interval(images, tally.scored)
        share = images / tally.scored if tally.scored else 0.0
        found = {"threshold": asdict(threshold), "flagged": images, "share": share, "low": low, "high": high}
        if threshold.keep is not None and threshold.images is not None:
            found["threshold"]["images_needed"] = images_needed(threshold.keep)
        methods[name] = found
    deciding = methods.get(known.deciding)
    within = max_flagged is None or deciding is None or deciding["share"] <= max_flagged
    return {
        "flags": {
            "deciding": known.deciding,
            "group_by": known.group_by,
            "methods": methods,
            "max_flagged": max_flagged,
            "within_max_flagged": within,
        }
    }
