"""Pictures of a scan's images, read again and made by tasks, since an image may kill who decodes it."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from ood_core.decoding import DecodeError
from pipelines.config.scan import Read, Scan
from pipelines.errors import ReadError
from pipelines.runtime.spread import unless_killed
from pipelines.scan_directory.record import ScanRecord
from pipelines.verdicts.places import Place, ScanImages

PICTURES_A_TASK = 8

Make = Callable[[bytes, Read], bytes]
"""Makes a picture of an image's bytes. Raises DecodeError for what is no picture, or beyond a limit."""


def pictures_of(
    images: ScanImages, places: Sequence[Place], rows: Sequence[Mapping[str, Any]], make: Make
) -> list[bytes | None]:
    """A picture of each image; None where it cannot be read or decoded again. `rows`: with the images' locators."""
    if not isinstance(images.record.config, Scan):
        return [None] * len(places)
    both = list(zip(places, rows, strict=True))
    parts = [both[start : start + PICTURES_A_TASK] for start in range(0, len(both), PICTURES_A_TASK)]
    groups = [(images.record, part, make) for part in parts]
    return list(chain.from_iterable(unless_killed(_pictures, groups, lambda _, part, __: [None] * len(part))))


def _pictures(record: ScanRecord, places: Sequence[tuple[Place, Mapping[str, Any]]], make: Make) -> list[bytes | None]:
    images = ScanImages(record)
    return [_picture(images, place, row, make) for place, row in places]


def _picture(images: ScanImages, place: Place, row: Mapping[str, Any], make: Make) -> bytes | None:
    config = images.record.config
    if not isinstance(config, Scan) or not row.get("url"):
        return None
    try:
        return make(images.content(place, row), config.read)
    except (ReadError, DecodeError):
        return None
