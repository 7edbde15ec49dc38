"""Labelled ID images: which images stand for each ID label, found before any of them is opened."""

import csv
import hashlib
import heapq
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from pipelines.config import LabelsBuild
from pipelines.errors import CallerError, ReadError, first_line
from pipelines.inputs import REQUESTS_AT_ONCE, File, expand, kind_of
from pipelines.label_files import open_words
from pipelines.plan import Shard
from pipelines.readers.parquet import DAMAGE, Columns
from pipelines.readers.range_file import open_range
from pipelines.storage import file_system

IMAGES_AT_ONCE = 64
PATH_COLUMN, LABEL_COLUMN = "path", "label"


class Labelled(NamedTuple):
    """An image, or a row of a table of images, and the text of its label."""

    label: str
    key: str
    url: str
    row: int | None = None
    size: int | None = None

    def draw(self) -> tuple[bytes, str, int]:
        """Images are taken by this, lowest first: scattered over the class, and the same on every machine."""
        return hashlib.sha256(self.key.encode()).digest(), self.url, self.row or 0


@dataclass(frozen=True)
class Slice:
    """Some records of a shard: the number of the ID label by the record's index."""

    shard: Shard
    labels: Mapping[int, int]


@dataclass(frozen=True)
class IdImages:
    """The images to encode, and how many there are of labels that are no ID label."""

    slices: Sequence[Slice]
    left_out: Mapping[str, int]

    @property
    def count(self) -> int:
        return sum(len(part.labels) for part in self.slices)


def find(config: LabelsBuild, ids: Sequence[str], most: int, options: Mapping[str, Any]) -> IdImages:
    """At most `most` images of each ID label. Raises CallerError if a label has none, naming the labels."""
    number_of = numbers(ids)
    kept: defaultdict[int, list[Labelled]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    seen: set[tuple[str, int | None]] = set()
    for image in (image for given in config.id_images or () for image in _images(given, config, options)):
        number = number_of.get(image.label, number_of.get(_plain(image.label)))
        if number is None:
            left_out[image.label] += 1
        elif (place := (image.url, image.row)) not in seen:
            seen.add(place)
            kept[number].append(image)
            if len(kept[number]) >= 8 * most:
                kept[number] = heapq.nsmallest(most, kept[number], Labelled.draw)
    named = ", ".join(map(repr, config.id_images or ()))
    missing = [label for number, label in enumerate(ids) if number not in kept]
    if missing:
        others = f"; it has images of other labels: {_some(list(left_out))}" if left_out else ""
        raise CallerError(f"--id-images {named} has no image of {len(missing)} ID labels: {_some(missing)}{others}")
    chosen = {number: heapq.nsmallest(most, images, Labelled.draw) for number, images in sorted(kept.items())}
    return IdImages(_slices(chosen, options), left_out)


def numbers(ids: Sequence[str]) -> dict[str, int]:
    """ID labels' numbers by text, and by its plain form (lower case, `_` as space) where that tells them apart."""
    plain = Counter(map(_plain, ids))
    known = {_plain(label): number for number, label in enumerate(ids) if plain[_plain(label)] == 1}
    return known | {label: number for number, label in enumerate(ids)}


def _plain(label: str) -> str:
    return label.replace("_", " ").casefold()


def _images(given: str, config: LabelsBuild, options: Mapping[str, Any]) -> Iterator[Labelled]:
    if given.lower().endswith(".csv"):
        yield from _of_manifest(given, _csv_rows(given, options), config.label_column or LABEL_COLUMN)
        return
    try:
        files = expand(given, options)
    except CallerError as error:
        raise CallerError(str(error).replace("--input", "--id-images")) from error
    if not any(kind_of(file.url) for file in files):
        raise CallerError(f"--id-images {given!r} holds no image, table of images, or manifest")
    for file in files:
        kind = kind_of(file.url)
        if kind == "tar":
            raise CallerError(f"--id-images {file.url!r}: the labels of a tar's images are not known; give a folder "
                              "of folders, a Parquet table, or a manifest")  # fmt: skip
        if kind == "parquet":
            yield from _of_parquet(file, config, options)
        elif kind == "images":
            yield Labelled(file.url.split("/")[-2], file.key, file.url, size=file.size)


def _of_parquet(file: File, config: LabelsBuild, options: Mapping[str, Any]) -> Iterator[Labelled]:
    """A table of images if it has a column of them, else a manifest."""
    files, path = file_system(file.url, options)
    try:
        table = pq.ParquetFile(open_range(files, path, file.size))
        schema = table.schema_arrow
        column = config.label_column or LABEL_COLUMN
        if column not in schema.names:
            raise ValueError(f"no column {column!r} of labels among {', '.join(schema.names)}; give --label-column")
        try:
            key = Columns(config.read.image_column, config.read.key_column).find(schema)[1]
        except ValueError:
            if PATH_COLUMN not in schema.names or config.read.image_column:
                raise
            rows = table.read([PATH_COLUMN, column]).to_pylist()
            yield from _of_manifest(file.url, iter(rows), column)
            return
        wanted = table.read([column, *([key] if key and key != column else [])]).to_pydict()
    except (ValueError, ReadError, *DAMAGE) as error:
        raise CallerError(f"--id-images {file.url!r}: {first_line(error)}") from error
    for row, label in enumerate(wanted[column]):
        yield Labelled(str(label), str(wanted[key][row] if key else row), file.url, row, file.size)


def _csv_rows(given: str, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        with io.TextIOWrapper(open_words("--id-images", given, options), "utf-8-sig", newline="") as text:
            yield from csv.DictReader(text)
    except (ValueError, csv.Error, ReadError) as error:
        raise CallerError(f"--id-images {given!r} cannot be read: {first_line(error)}") from error


def _of_manifest(given: str, rows: Iterator[dict[str, Any]], column: str) -> Iterator[Labelled]:
    """Paths are URLs, absolute, or relative to the manifest."""
    base = given.rpartition("/")[0]
    for number, row in enumerate(rows, start=1):
        path, label = row.get(PATH_COLUMN), row.get(column)
        if not path or label is None:
            raise CallerError(f"--id-images {given!r}, row {number}: it needs {PATH_COLUMN!r} and {column!r}")
        url = path if "://" in path or path.startswith("/") or not base else f"{base}/{path}"
        yield Labelled(str(label), path, url)


def _slices(chosen: Mapping[int, Sequence[Labelled]], options: Mapping[str, Any]) -> list[Slice]:
    """One for each table, and the image files in slices, each of one file system."""
    tables: defaultdict[str, list[tuple[Labelled, int]]] = defaultdict(list)
    for number, images in chosen.items():
        for image in images:
            tables[image.url if image.row is not None else ""].append((image, number))
    slices = []
    for url, images in tables.items():
        if url:
            size = images[0][0].size or 0
            shard = Shard(f"{len(slices):06d}", "parquet", [url], [images[0][0].key], [size], "")
            slices.append(Slice(shard, {image.row or 0: number for image, number in images}))
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        found = list(pool.map(lambda image: _with_size(image[0], options), tables.get("", [])))
    protocols = [image.url.partition("://")[0] if "://" in image.url else "" for image in found]
    for protocol in dict.fromkeys(protocols):
        places = [place for place, own in enumerate(protocols) if own == protocol]
        for start in range(0, len(places), IMAGES_AT_ONCE):
            part = places[start : start + IMAGES_AT_ONCE]
            urls, keys = [found[place].url for place in part], [found[place].key for place in part]
            sizes = [found[place].size or 0 for place in part]
            shard = Shard(f"{len(slices):06d}", "images", urls, keys, sizes, "")
            slices.append(Slice(shard, {index: tables[""][place][1] for index, place in enumerate(part)}))
    return slices


def _with_size(image: Labelled, options: Mapping[str, Any]) -> Labelled:
    if image.size is not None:
        return image
    files, path = file_system(image.url, options)
    try:
        return image._replace(size=int(files.info(path)["size"]))
    except Exception as error:  # every file system has errors of its own
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else first_line(error)
        raise CallerError(f"--id-images: {image.url!r} cannot be read: {reason}") from error


def _some(items: Sequence[str], most: int = 10) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(repr, items[:most])) + more
