"""Lists images with their labels: from folders named after labels, a column of a table, or a manifest."""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pipelines.config.labels import LabelsBuild
from pipelines.errors import CallerError, ReadError, first_line
from pipelines.inputs.label_bank import open_words
from pipelines.inputs.listing import IMAGES, File, expand, kind_of
from pipelines.inputs.readers.parquet import ImageColumns
from pipelines.inputs.readers.range_file import RangeFile
from pipelines.inputs.readers.row_groups import DAMAGE, open_table
from pipelines.storage import file_system

ID_IMAGES = replace(IMAGES, option="--id-images")

PATH_COLUMN, LABEL_COLUMN = "path", "label"


class LabelledImage(NamedTuple):
    """An image, or a row of a table of images, and the text of its label."""

    label: str
    key: str
    url: str
    row: int | None = None
    size: int | None = None

    def draw(self) -> tuple[bytes, str, int]:
        """The order in which images are chosen, lowest first: a pseudo-random one, the same on every machine."""
        return hashlib.sha256(self.key.encode()).digest(), self.url, self.row or 0


def labelled_images(given: str, config: LabelsBuild, options: Mapping[str, Any]) -> Iterator[LabelledImage]:
    """The images that one value of `--id-images` names: a folder of folders, a table of images, or a manifest.

    Raises CallerError for what is not there, cannot be read, or has no labels.
    """
    if given.lower().endswith(".csv"):
        yield from _of_manifest(given, _csv_rows(given, options), config.label_column or LABEL_COLUMN)
        return
    files = expand(given, options, ID_IMAGES)
    read = [file for file in files if not file.passed_over]
    if not read:
        raise CallerError(f"--id-images {given!r} holds no image, table of images, or manifest")
    for file in read:
        kind = kind_of(file.url)
        if kind == "tar":
            raise CallerError(f"--id-images {file.url!r}: the labels of a tar's images are not known; give a folder "
                              "of folders, a Parquet table, or a manifest")  # fmt: skip
        if kind == "parquet":
            yield from _of_parquet(file, config, options)
        elif kind == "images":
            yield LabelledImage(file.url.split("/")[-2], file.key, file.url, size=file.size)


def _of_parquet(file: File, config: LabelsBuild, options: Mapping[str, Any]) -> Iterator[LabelledImage]:
    """The images of a Parquet table: of its column of images, or else those that its column of paths names."""
    files, path = file_system(file.url, options)
    try:
        table = open_table(RangeFile(files, path, file.size))
        schema = table.schema_arrow
        column = config.label_column or LABEL_COLUMN
        if column not in schema.names:
            raise ValueError(f"no column {column!r} of labels among {', '.join(schema.names)}; give --label-column")
        try:
            key = ImageColumns(config.read.image_column, config.read.key_column).find(schema)[1]
        except ValueError:
            if PATH_COLUMN not in schema.names or config.read.image_column:
                raise
            rows = table.read([PATH_COLUMN, column]).to_pylist()
            yield from _of_manifest(file.url, iter(rows), column)
            return
        wanted = table.read([column, *([key] if key and key != column else [])]).to_pydict()
    except (ValueError, LookupError, ReadError, *DAMAGE) as error:
        raise CallerError(f"--id-images {file.url!r}: {first_line(error)}") from error
    for row, label in enumerate(wanted[column]):
        yield LabelledImage(str(label), str(wanted[key][row] if key else row), file.url, row, file.size)


def _csv_rows(given: str, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file by column. Raises CallerError if it cannot be read."""
    try:
        with io.TextIOWrapper(open_words("--id-images", given, options), "utf-8-sig", newline="") as text:
            yield from csv.DictReader(text)
    except (ValueError, csv.Error, ReadError) as error:
        raise CallerError(f"--id-images {given!r} cannot be read: {first_line(error)}") from error


def _of_manifest(given: str, rows: Iterator[dict[str, Any]], column: str) -> Iterator[LabelledImage]:
    """The images that a manifest's rows name: by URLs, absolute paths, or paths relative to the manifest."""
    base = given.rpartition("/")[0]
    for number, row in enumerate(rows, start=1):
        path, label = row.get(PATH_COLUMN), row.get(column)
        if not path or label is None:
            raise CallerError(f"--id-images {given!r}, row {number}: it needs {PATH_COLUMN!r} and {column!r}")
        url = path if "://" in path or path.startswith("/") or not base else f"{base}/{path}"
        yield LabelledImage(str(label), path, url)
