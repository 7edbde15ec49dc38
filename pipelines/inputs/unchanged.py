"""Reads a shard's files, and notices if they are replaced or still written to between the plan and their last byte."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.versions import check_unchanged
from pipelines.storage import file_system

Item = TypeVar("Item")


def while_unchanged(found: Iterator[Item], shard: Shard, options: Mapping[str, Any], retry_s: float) -> Iterator[Item]:
    """What is read of a shard, after a look at its files, and the last of it after another.

    Raises ReadError if a file is not the planned one: before the first item, or in place of the last. In the second
    case what came before may be of either file.
    """
    _check(shard, options, retry_s)
    held: list[Item] = []
    try:
        for item in found:
            yield from held
            held = [item]
    except Exception:  # a file that is cut short breaks off anywhere
        _check(shard, options, retry_s)
        raise
    _check(shard, options, retry_s)
    yield from held


def _check(shard: Shard, options: Mapping[str, Any], retry_s: float) -> None:
    for url, size, version in shard.files:
        check_unchanged(*file_system(url, options), size, version, retry_s)
