"""Labelled ID images: chooses which images stand for each ID label, before any of them is opened."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipelines.config.labels import LabelsBuild
from pipelines.errors import CallerError
from pipelines.inputs.labelled_images import LabelledImage, labelled_images
from pipelines.inputs.listing import REQUESTS_AT_ONCE
from pipelines.inputs.plan import Shard
from pipelines.storage import file_system, storage_errors

IMAGES_AT_ONCE = 64


@dataclass(frozen=True)
class LabelledSlice:
    """Some records of a shard, and the number of each one's ID label by the record's index."""

    shard: Shard
    labels: Mapping[int, int]


@dataclass(frozen=True)
class IdImages:
    """The labelled images to encode. `left_out`: how many others there are of each label that is no ID label."""

    slices: Sequence[LabelledSlice]
    left_out: Mapping[str, int]

    @property
    def count(self) -> int:
        """How many images are to be encoded."""
        return sum(len(part.labels) for part in self.slices)

    def warning(self) -> str | None:
        """A line that says how many images are left out and why; None if none is."""
        if not self.left_out:
            return None
        count, labels = sum(self.left_out.values()), _some(list(self.left_out))
        return (
            f"--id-images: {count} images are left out, of {len(self.left_out)} labels that are no ID label: {labels}"
        )


def find_id_images(config: LabelsBuild, ids: Sequence[str], most: int, options: Mapping[str, Any]) -> IdImages:
    """At most `most` labelled images of each ID label, the same ones on every machine.

    Raises CallerError, naming the labels, if some have no image.
    """
    number_of = label_numbers(ids)
    kept: defaultdict[int, list[LabelledImage]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    seen: set[tuple[str, int | None]] = set()
    for image in (image for given in config.id_images or () for image in labelled_images(given, config, options)):
        number = number_of.get(image.label, number_of.get(_plain(image.label)))
        if number is None:
            left_out[image.label] += 1
        elif (place := (image.url, image.row)) not in seen:
            seen.add(place)
            kept[number].append(image)
            if len(kept[number]) >= 8 * most:
                kept[number] = heapq.nsmallest(most, kept[number], LabelledImage.draw)
    named = ", ".join(map(repr, config.id_images or ()))
    missing = [label for number, label in enumerate(ids) if number not in kept]
    if missing:
        others = f"; it has images of other labels: {_some(list(left_out))}" if left_out else ""
        raise CallerError(f"--id-images {named} has no image of {len(missing)} ID labels: {_some(missing)}{others}")
    chosen = {number: heapq.nsmallest(most, images, LabelledImage.draw) for number, images in sorted(kept.items())}
    return IdImages(_slices(chosen, options), left_out)


def label_numbers(ids: Sequence[str]) -> dict[str, int]:
    """The ID labels' numbers by text, and by plain text (lower case, `_` as space) where that tells them apart."""
    plain = Counter(map(_plain, ids))
    known = {_plain(label): number for number, label in enumerate(ids) if plain[_plain(label)] == 1}
    return known | {label: number for number, label in enumerate(ids)}


def _plain(label: str) -> str:
    """A label without differences of case and of `_` against space."""
    return label.replace("_", " ").casefold()


def _slices(chosen: Mapping[int, Sequence[LabelledImage]], options: Mapping[str, Any]) -> list[LabelledSlice]:
    """The chosen images, by ID label's number, as slices: one for each table, the image files after them."""
    tables: defaultdict[str, list[tuple[LabelledImage, int]]] = defaultdict(list)
    files: list[tuple[LabelledImage, int]] = []
    for number, images in chosen.items():
        for image in images:
            (files if image.row is None else tables[image.url]).append((image, number))
    slices = []
    for url, rows in tables.items():
        shard = Shard(f"{len(slices):06d}", "parquet", [url], [rows[0][0].key], [rows[0][0].size or 0], "")
        slices.append(LabelledSlice(shard, {image.row or 0: number for image, number in rows}))
    for group in _groups(files, options):
        images, labels = zip(*group, strict=True)
        urls, keys, sizes = (
            [image.url for image in images],
            [image.key for image in images],
            [image.size or 0 for image in images],
        )
        shard = Shard(f"{len(slices):06d}", "images", urls, keys, sizes, "")
        slices.append(LabelledSlice(shard, dict(enumerate(labels))))
    return slices


def _groups(
    files: Sequence[tuple[LabelledImage, int]], options: Mapping[str, Any]
) -> Iterator[list[tuple[LabelledImage, int]]]:
    """Image files with their labels' numbers, at most `IMAGES_AT_ONCE` and of one file system in each group."""
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        found = list(pool.map(lambda item: (_with_size(item[0], options), item[1]), files))
    by_protocol: defaultdict[str, list[tuple[LabelledImage, int]]] = defaultdict(list)
    for image, number in found:
        by_protocol[image.url.partition("://")[0] if "://" in image.url else ""].append((image, number))
    for together in by_protocol.values():
        for start in range(0, len(together), IMAGES_AT_ONCE):
            yield together[start : start + IMAGES_AT_ONCE]


def _with_size(image: LabelledImage, options: Mapping[str, Any]) -> LabelledImage:
    """The image with its size and an absolute URL, which a manifest need not give. Raises CallerError."""
    if image.size is not None:
        return image
    files, path = file_system(image.url, options)
    with storage_errors(f"--id-images: {image.url!r}"):
        return image._replace(url=files.unstrip_protocol(path), size=int(files.info(path)["size"]))


def _some(items: Sequence[str], most: int = 10) -> str:
    """The first few items, quoted, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(repr, items[:most])) + more
