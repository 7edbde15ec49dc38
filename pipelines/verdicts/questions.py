"""The questions on a scan as a table: each image with its nearest labels, and a picture where it can be read again."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray
from ray.exceptions import OutOfMemoryError, WorkerCrashedError

from ood_core.decoding import DecodeError
from ood_core.decoding.thumbnail import thumbnail
from ood_core.labels import LabelBank
from pipelines.config.pools import ScorePool
from pipelines.config.scan import Scan
from pipelines.errors import CallerError, ReadError
from pipelines.runtime.pools import fit_scorers
from pipelines.runtime.progress import Say
from pipelines.scan_directory.columns import LOCATOR
from pipelines.scan_directory.record import ScanRecord
from pipelines.verdicts.ask import Question, choose
from pipelines.verdicts.places import ScanImages

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster

SIDE = 384
"""Pixels of a picture's longer side, at most."""
NEAREST = 10
"""ID labels that are named of each image."""
PICTURES_A_TASK = 8

SCHEMA = pa.schema(
    {
        "number": pa.int64(),
        "shard": pa.string(),
        "index": pa.int64(),
        "key": pa.string(),
        **LOCATOR,
        "anchor": pa.int64(),
        "stands_for": pa.float64(),
        "belongs": pa.float64(),
        "worth": pa.float64(),
        "score": pa.float64(),
        "nearest_labels": pa.list_(pa.string()),
        "negative_label": pa.string(),
        "picture": pa.binary(),
    }
)
"""The columns of `questions.parquet`, one row an image, the first of which moves most. `stands_for`: about how many
images the answer speaks for; `belongs`: what the scan guesses; `score`: by consensus; `picture`: a WebP file."""

COLUMNS = ("key", *LOCATOR, "score_consensus", "id_label", "negative_label")


def ask(record: ScanRecord, count: int, found: "Cluster", say: Say) -> pa.Table:
    """A table of `SCHEMA`: the images whose answer moves most, `count` at most. Raises CallerError as `choose` does."""
    images, bank = ScanImages(record), record.bank()
    questions = choose(record, count, fit_scorers(ScorePool(), "cpu", found))
    places = [question.place for question in questions]
    rows = [row or {} for row in images.rows(places, COLUMNS)]
    labels = _nearest_labels(images, bank, questions, rows, found, say)
    pictures = pictures_of(images, questions, rows)
    columns = [
        [
            number, *question.place, row.get("key") or "", *(row.get(name) for name in LOCATOR), question.anchor,
            question.stands_for, question.belongs, question.worth, row.get("score_consensus"), near,
            row.get("negative_label"), picture,
        ]
        for number, (question, row, near, picture) in enumerate(
            zip(questions, rows, labels, pictures, strict=True), start=1
        )
    ]  # fmt: skip
    return pa.table([pa.array(list(values), kind) for values, kind in zip(_turned(columns), SCHEMA.types, strict=True)],
                    schema=SCHEMA)  # fmt: skip


def _turned(rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [[] for _ in SCHEMA]


def _nearest_labels(
    images: ScanImages,
    bank: LabelBank,
    questions: Sequence[Question],
    rows: Sequence[Mapping[str, Any]],
    found: "Cluster",
    say: Say,
) -> list[list[str]]:
    """The ID labels nearest to each image, nearest first; the nearest alone where its embedding cannot be had."""
    try:
        vectors = images.embeddings([question.place for question in questions], bank.dim, found)
    except CallerError as error:
        say(f"questions: of each image only the nearest label is known: {error}")
        return [[row["id_label"]] if row.get("id_label") else [] for row in rows]
    cosines = vectors @ bank.embeddings[: bank.id_count].T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]
    return [[bank.texts[label] for label in labels] for labels in order.tolist()]


def pictures_of(
    images: ScanImages, questions: Sequence[Question], rows: Sequence[Mapping[str, Any]]
) -> list[bytes | None]:
    """A small picture of each image, made by tasks; None where it cannot be read or decoded again."""
    if not isinstance(images.record.config, Scan):
        return [None] * len(questions)
    places = [(question.place, row) for question, row in zip(questions, rows, strict=True)]
    groups = [places[start : start + PICTURES_A_TASK] for start in range(0, len(places), PICTURES_A_TASK)]
    task: Any = ray.remote(max_retries=1)(_pictures)
    found: list[bytes | None] = []
    for group, future in zip(groups, [task.remote(images.record, group) for group in groups], strict=True):
        try:
            found += ray.get(future)
        except (WorkerCrashedError, OutOfMemoryError):
            found += [None] * len(group)
    return found


def _pictures(record: ScanRecord, places: Sequence[tuple[tuple[str, int], Mapping[str, Any]]]) -> list[bytes | None]:
    images = ScanImages(record)
    return [_picture(images, place, row) for place, row in places]


def _picture(images: ScanImages, place: tuple[str, int], row: Mapping[str, Any]) -> bytes | None:
    config = images.record.config
    if not isinstance(config, Scan) or not row.get("url"):
        return None
    try:
        read = config.read
        return thumbnail(images.content(place, row), read.max_image_pixels, read.max_jpeg_scans, SIDE)
    except (ReadError, DecodeError):
        return None
