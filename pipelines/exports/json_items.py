"""Writes JSON item by item, so that a list may be longer than memory."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO


@contextmanager
def json_items(file: BinaryIO, before: str = "[", after: str = "]\n") -> Iterator[Callable[[Any], None]]:
    """A function that adds an item to a list in a JSON file. `before`, `after`: what stands around the items."""
    separator = "\n"

    def add(item: Any) -> None:
        nonlocal separator
        file.write((separator + json.dumps(item, allow_nan=False)).encode())
        separator = ",\n"

    file.write(before.encode())
    yield add
    file.write(f"\n{after}".encode())


def finite(number: float | None) -> float | None:
    """The number; None in place of one that JSON does not know."""
    return number if number is not None and math.isfinite(number) else None
