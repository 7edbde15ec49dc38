"""Labelled ID images: which images stand for each ID label, found before any of them is opened."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipelines.config.labels import LabelsBuild
from pipelines.errors import CallerError, first_line
from pipelines.inputs.labelled_images import Labelled, labelled
from pipelines.inputs.listing import REQUESTS_AT_ONCE
from pipelines.inputs.plan import Shard
from pipelines.storage import file_system

IMAGES_AT_ONCE = 64


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

    def warning(self) -> str | None:
        """What the caller should know of the images that are left out."""
        if not self.left_out:
            return None
        count, labels = sum(self.left_out.values()), _some(list(self.left_out))
        return (
            f"--id-images: {count} images are left out, of {len(self.left_out)} labels that are no ID label: {labels}"
        )


def find(config: LabelsBuild, ids: Sequence[str], most: int, options: Mapping[str, Any]) -> IdImages:
    """At most `most` images of each ID label. Raises CallerError if a label has none, naming the labels."""
    number_of = numbers(ids)
    kept: defaultdict[int, list[Labelled]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    seen: set[tuple[str, int | None]] = set()
    for image in (image for given in config.id_images or () for image in labelled(given, config, options)):
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
    """The size of what a manifest names, and where that is for a worker that stands elsewhere."""
    if image.size is not None:
        return image
    files, path = file_system(image.url, options)
    try:
        return image._replace(url=files.unstrip_protocol(path), size=int(files.info(path)["size"]))
    except Exception as error:  # every file system has errors of its own
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else first_line(error)
        raise CallerError(f"--id-images: {image.url!r} cannot be read: {reason}") from error


def _some(items: Sequence[str], most: int = 10) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(repr, items[:most])) + more
