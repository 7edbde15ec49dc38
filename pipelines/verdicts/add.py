"""Adds what reviewers have answered to the verdicts that a scan keeps."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ood_core.methods import takes_verdicts
from pipelines.errors import CallerError
from pipelines.scan_directory.record import ScanRecord
from pipelines.verdicts.answers import Answer
from pipelines.verdicts.kept import Verdicts
from pipelines.verdicts.places import ScanImages
from pipelines.verdicts.tables import COLUMNS, schema

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster

DIFFERENT = 0.5
"""Two verdicts on an image that differ by more than this contradict each other."""


def verdicts_on(record: ScanRecord, answers: Sequence[Answer], dim: int, found: "Cluster") -> Verdicts:
    """Answers on images of a scan, with the images' embeddings.

    Raises CallerError, which names the line, for an image that the scan has not, or has no scores of, and if an
    embedding cannot be had; and for a scan by no method that takes verdicts in.
    """
    if not takes_verdicts(record.methods):
        raise CallerError(
            f"SCAN {record.directory.url!r} is by no method that takes verdicts in: scan with --method consensus, "
            "or --method verdicts"
        )
    now = datetime.now(UTC)  # of answers that tell no time: what is said now counts after what was said before
    images, places = ScanImages(record), [(answer.shard, answer.index) for answer in answers]
    keys = []
    for answer, row in zip(answers, images.rows(places, ["key", "status"]), strict=True):
        if row is None:
            raise CallerError(f"{answer.where}: the scan has no image {answer.index} of shard {answer.shard!r}")
        if answer.key is not None and answer.key != (row["key"] or ""):
            raise CallerError(
                f"{answer.where}: image {answer.index} of shard {answer.shard!r} is {row['key']!r}, not {answer.key!r}"
            )
        if row["status"] != "ok":
            raise CallerError(f"{answer.where}: image {row['key']!r} has no scores: {row['status']}")
        keys.append(row["key"])
    vectors = images.embeddings(list(dict.fromkeys(places)), dim, found)
    of_place = dict(zip(dict.fromkeys(places), vectors, strict=True))
    halves = np.array([of_place[place] for place in places], np.float16).reshape(-1)
    columns = [
        pa.array(values, kind)
        for values, kind in zip(
            [
                keys,
                [answer.shard for answer in answers],
                [answer.index for answer in answers],
                [answer.belongs for answer in answers],
                [answer.by for answer in answers],
                [answer.at or now for answer in answers],
                [answer.description for answer in answers],
            ],
            COLUMNS.values(),
            strict=True,
        )
    ]
    embeddings = pa.FixedSizeListArray.from_arrays(pa.array(halves), dim)
    table = pa.table([*columns, embeddings], schema=schema(dim))
    return Verdicts.of([table], dim, "the answers", record.identity.get("weights"))


def disagreements(verdicts: Verdicts) -> list[str]:
    """A line for each image of which several have said different things."""
    said: dict[bytes, list[dict]] = {}
    for image, row in zip(verdicts.images, verdicts.table.drop_columns("embedding").to_pylist(), strict=True):
        said.setdefault(image, []).append(row)
    return [
        f"{rows[0]['key']!r} (image {rows[0]['index']} of shard {rows[0]['shard']}): "
        + ", ".join(f"{row['belongs']:g} by {row['by'] or 'somebody'}" for row in rows)
        for rows in said.values()
        if max(row["belongs"] for row in rows) - min(row["belongs"] for row in rows) > DIFFERENT
    ]
