"""What a report says of verdicts: how many there are, by whom, what they moved. Free of torch."""

from collections.abc import Mapping
from typing import Any

from pipelines.reports.ended import EndedScan
from pipelines.reports.html.blocks import Block, Column, Grid, Prose
from pipelines.reports.html.wording import count, decimal

SOMEBODY = "(somebody)"


def verdicts_of(scan: EndedScan) -> Mapping[str, Any]:
    """What the summary tells of verdicts; nothing if there are none."""
    found = (scan.summary.get("learned") or {}).get("verdicts")
    return found if isinstance(found, Mapping) else {}


def verdicts(scan: EndedScan) -> list[Block]:
    """Who has judged how many images, what that moved, and which verdicts contradict others; nothing without any."""
    found = verdicts_of(scan)
    if not found:
        return []
    people = Grid(
        "By whom", [Column("judge"), Column("verdicts", "", "number")],
        [(who or SOMEBODY, number) for who, number in found["by"].items()],
    )  # fmt: skip
    columns = [
        Column("image"), Column("belongs", "What was said: 1 yes, 0 no.", "number"), Column("by"),
        Column("by the others", "How probably it belongs by what was said of images like it.", "number"),
        Column("shard"), Column("record", "", "number"),
    ]  # fmt: skip
    rows = [
        (row["key"] or "(no key)", row["belongs"], row["by"] or SOMEBODY, row["others"], row["shard"], row["index"])
        for row in found["contradictions"]
    ]
    against = Grid("Against the others", columns, rows, found["contradicted"], empty="No verdict contradicts others.")
    return [Prose([moved(found)]), people, against]


def moved(found: Mapping[str, Any]) -> str:
    """What verdicts have moved, in a sentence."""
    return (
        f"{count(found['verdicts'])} verdicts on {count(found['images'])} images, {count(found['belong'])} that they "
        f"belong and {count(found['do_not_belong'])} that they do not, are spread over the scan: they raise "
        f"{count(found['raised'])} images and lower {count(found['lowered'])} by {decimal(0.5, 1)} standard deviations "
        "or more."
    )
