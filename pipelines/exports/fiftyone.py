"""A dataset of image files for FiftyOne: `fiftyone.Dataset.from_json("fiftyone.json")`."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ood_core.methods import score_column
from pipelines.exports.choice import Decided
from pipelines.exports.json_items import finite, json_items
from pipelines.storage import Directory, absolute

FILE = "fiftyone.json"
LABELS = ("id_label", "id_probability", "negative_label")
"""The columns of a score table that are wanted beside those of a choice, and all scores."""

FIELDS = "fiftyone.core.fields"
TEXTS = ("key", "shard", "status", "negative_label")


def wanted_columns(methods: Sequence[str]) -> list[str]:
    """The columns of the score tables that samples tell of."""
    return [*LABELS, *map(score_column, methods)]


@contextmanager
def writing_samples(output: Directory, methods: Sequence[str]) -> Iterator[Callable[[Decided], None]]:
    """A function that adds the images of a shard to the dataset, which is visible once it is whole.

    Every image is tagged `keep`, or `drop` and why. (As `SampleCollection.to_json` of FiftyOne writes it.)
    """
    classification = f"{FIELDS}.EmbeddedDocumentField(fiftyone.core.labels.Classification)"
    fields = {
        **dict.fromkeys(TEXTS, f"{FIELDS}.StringField"),
        "index": f"{FIELDS}.IntField",
        **dict.fromkeys(map(score_column, methods), f"{FIELDS}.FloatField"),
        "id_label": classification,
    }
    head = json.dumps({"name": "oodscan", "media_type": "image", "sample_fields": fields})
    with output.writing(FILE) as file, json_items(file, f'{head[:-1]}, "samples": [', "]}\n") as add_item:

        def add(decided: Decided) -> None:
            for row, reason in zip(decided.rows.to_pylist(), decided.reasons.to_pylist(), strict=True):
                add_item(_sample(row, reason, methods))

        yield add


def _sample(row: dict[str, Any], reason: str | None, methods: Sequence[str]) -> dict[str, Any]:
    label = row.get("id_label")
    return {
        "filepath": absolute(row["url"]),
        "tags": ["keep"] if reason is None else ["drop", reason],
        **{name: row.get(name) for name in (*TEXTS, "index")},
        **{name: finite(row.get(name)) for name in map(score_column, methods)},
        "id_label": label
        and {"_cls": "Classification", "label": label, "confidence": finite(row.get("id_probability"))},
    }
