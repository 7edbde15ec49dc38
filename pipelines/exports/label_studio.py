"""Tasks for Label Studio: the images that are flagged, to be looked at by people."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from ood_core.methods import score_column
from pipelines.exports.choice import FLAGGED, Choice, Decided
from pipelines.exports.json_items import finite, json_items
from pipelines.storage import Directory, absolute

FILE, CONFIG_FILE = "label-studio.json", "label-studio.xml"
LABELS = ("id_label", "id_probability", "negative_label")
"""The columns of a score table that are wanted beside those of a choice."""

BELONGS, DOES_NOT = "belongs", "does not belong"
CONFIG = f"""<View>
  <Image name="image" value="$image"/>
  <Header value="$id_label / $negative_label"/>
  <Choices name="belongs" toName="image">
    <Choice value="{BELONGS}"/>
    <Choice value="{DOES_NOT}"/>
  </Choices>
</View>
"""
"""The labelling configuration of the project that the tasks are for."""

LOCAL_FILES = "/data/local-files/?d="
"""How Label Studio calls a file below its `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`, here `/`."""


@contextmanager
def writing_tasks(output: Directory, choice: Choice) -> Iterator[Callable[[Decided], None]]:
    """A function that adds the flagged images of a shard to the tasks, which are visible once they are whole.

    Each comes with the prediction that it does not belong, and the method's score, by which Label Studio sorts:
    the lowest first (labelstud.io/guide/predictions).
    """
    output.put(CONFIG_FILE, CONFIG.encode())
    with output.writing(FILE) as file, json_items(file) as add_item:

        def add(decided: Decided) -> None:
            for row, reason in zip(decided.rows.to_pylist(), decided.reasons.to_pylist(), strict=True):
                if reason == FLAGGED:
                    add_item(_task(row, choice))

        yield add


def image_url(url: str) -> str:
    """A file's URL as Label Studio takes it."""
    place = absolute(url)
    return LOCAL_FILES + quote(place.lstrip("/")) if place.startswith("/") else url


def _task(row: dict[str, Any], choice: Choice) -> dict[str, Any]:
    score = finite(row[score_column(choice.method)])
    chosen = {"from_name": "belongs", "to_name": "image", "type": "choices", "value": {"choices": [DOES_NOT]}}
    shown = {name: row.get(name) or "" for name in ("id_label", "negative_label")}
    placed = {name: row[name] for name in ("key", "shard", "index")}
    return {
        "data": {"image": image_url(row["url"]), **placed, "score": score, **shown},
        "predictions": [{"model_version": f"oodscan {choice.method}", "score": score, "result": [chosen]}],
    }
