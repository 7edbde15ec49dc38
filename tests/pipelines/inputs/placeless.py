"""Records without where they are, for tests of what they hold."""

from collections.abc import Iterable
from dataclasses import replace

from pipelines.inputs.readers.record import Record


def placeless(records: Iterable[Record]) -> list[Record]:
    return [replace(record, url="", offset=None, length=None, row=None) for record in records]
