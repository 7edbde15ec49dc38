"""The questions on a scan as a table: each image with its nearest labels, and a picture where it can be read again."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ood_core.decoding.thumbnail import thumbnail
from pipelines.config.pools import ScorePool
from pipelines.config.scan import Read
from pipelines.errors import CallerError
from pipelines.runtime.pools import fit_scorers
from pipelines.runtime.progress import Say
from pipelines.scan_directory.columns import LOCATOR
from pipelines.scan_directory.record import ScanRecord
from pipelines.verdicts.ask import choose
from pipelines.verdicts.pictures import pictures_of
from pipelines.verdicts.places import Place, ScanImages

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster

SIDE = 384
"""Pixels of a picture's longer side, at most."""
NEAREST = 10
"""ID labels that are named of each image."""

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
    images = ScanImages(record)
    questions = choose(record, count, fit_scorers(ScorePool(), "cpu", found))
    places = [question.place for question in questions]
    rows = [row or {} for row in images.rows(places, COLUMNS)]
    labels = nearest_labels(images, places, rows, NEAREST, found, say)
    pictures = pictures_of(images, places, rows, _thumbnail)
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


def nearest_labels(
    images: ScanImages,
    places: Sequence[Place],
    rows: Sequence[Mapping[str, Any]],
    count: int,
    found: "Cluster",
    say: Say,
) -> list[list[str]]:
    """So many ID labels nearest to each image, nearest first; the nearest alone where its embedding cannot be had.

    `rows`: with the images' nearest labels. Raises CallerError if the label bank cannot be read.
    """
    bank = images.record.bank()
    try:
        vectors = images.embeddings(places, bank.dim, found)
    except CallerError as error:
        say(f"questions: of each image only the nearest label is known: {error}")
        return [[row["id_label"]] if row.get("id_label") else [] for row in rows]
    cosines = vectors @ bank.embeddings[: bank.id_count].T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return [[bank.texts[label] for label in labels] for labels in order.tolist()]


def _thumbnail(content: bytes, read: Read) -> bytes:
    return thumbnail(content, read.max_image_pixels, read.max_jpeg_scans, SIDE)
