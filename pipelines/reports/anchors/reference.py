"""The tables on a scan's reference, in the report on its anchors."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.reports.tables import Table


def reference_tables(found: Mapping[str, Any]) -> Iterator[Table]:
    """What the summary tells of the reference: how large it is, and what of the scan it does not know."""
    about = {
        "images": f"{found['images']:,}",
        "that could not be used": f"{found['unusable']:,}",
        "of the scan not covered (coverage below 1/2)": f"{found['not_covered']:.1%}",
        "of the scan unlike it (evidence below -1)": f"{found['unlike']:.1%}",
        "images of the scan that are in it too": f"{found['in_scan_too']:,}",
    }
    yield Table("the reference, images known to belong", ("", "value"), list(about.items()))
    if uncovered := found["uncovered_labels"]:
        rows = [(row["label"], row["images"], row["not_covered"]) for row in uncovered]
        yield Table("labels that it covers least", ("label", "images of the scan", "of these not covered"), rows)
