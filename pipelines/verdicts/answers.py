"""Reads what reviewers have answered: files that the page of questions saves, or tables like them. Free of torch."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pipelines.errors import CallerError, first_line
from pipelines.inputs.readers.row_groups import DAMAGE, open_table
from pipelines.storage import Directory, storage_errors

WORDS = {"yes": 1.0, "y": 1.0, "no": 0.0, "n": 0.0, "unsure": 0.5, "u": 0.5}
"""How probably an image belongs of which this is said."""
COLUMNS = ("shard", "index", "key", "verdict", "belongs", "by", "at")
MOST_BYTES = 256 * 2**20


class Answer(NamedTuple):
    """What was said of one image of a scan. `where`: the file and line that say it."""

    where: str
    shard: str
    index: int
    key: str | None
    belongs: float
    by: str
    at: datetime | None
    description: str | None = None


def read_answers(url: str, options: Mapping[str, Any], option: str = "--add") -> list[Answer]:
    """The answers in a CSV or Parquet file with the columns shard, index, key and verdict or belongs, by, at.

    `verdict`: yes, no or unsure; `belongs`: a number from 0 to 1. Raises CallerError, which names the line.
    """
    said = f"{option} {url!r}"
    with storage_errors(said):
        directory, name = Directory.of_file(url, options)
        content = directory.read(name)
    if len(content) > MOST_BYTES:
        raise CallerError(f"{said} has {len(content)} bytes; a file of answers has {MOST_BYTES} at most")
    rows = _parquet_rows(content, said) if content[:4] == b"PAR1" else _csv_rows(content, said)
    return [_answer(row, f"{said}, {place}") for place, row in rows]


def _parquet_rows(content: bytes, said: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        file = open_table(io.BytesIO(content))
        names = [name for name in file.schema_arrow.names if name in COLUMNS]
        _check_names(names, said)
        rows = file.read(names, use_threads=False).to_pylist()
    except (*DAMAGE, ValueError, OverflowError) as error:
        raise CallerError(f"{said} cannot be read: {first_line(error)}") from error
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row


def _csv_rows(content: bytes, said: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError as error:
        raise CallerError(f"{said} is neither CSV nor Parquet: {first_line(error)}") from error
    try:
        _check_names(reader.fieldnames or [], said)
        for row in reader:
            if None in row or None in row.values():
                raise CallerError(f"{said}, line {reader.line_num}: it has not as many cells as the first line")
            yield f"line {reader.line_num}", {name: value or None for name, value in row.items()}
    except csv.Error as error:
        raise CallerError(f"{said}, line {reader.line_num + 1} is not CSV: {first_line(error)}") from error


def _check_names(names: Sequence[str], said: str) -> None:
    """Raises CallerError if a column of answers is there twice."""
    for name in COLUMNS:
        if names.count(name) > 1:
            raise CallerError(f"{said} has {names.count(name)} columns {name!r}")


def _answer(row: Mapping[str, Any], where: str) -> Answer:
    if missing := [name for name in ("shard", "index") if row.get(name) is None]:
        raise CallerError(f"{where}: {missing[0]} is missing, by which the image is known")
    key, by = row.get("key"), row.get("by")
    return Answer(
        where, str(row["shard"]), _index(row["index"], where), None if key is None else str(key), _belongs(row, where),
        "" if by is None else str(by), _time(row.get("at"), where),
    )  # fmt: skip


def _index(value: Any, where: str) -> int:
    try:
        found = int(value)
    except (ValueError, TypeError, OverflowError):
        found = None
    if found is None or (found != value and not isinstance(value, str)):
        raise CallerError(f"{where}: index is {value!r}, not a number")
    return found


def _belongs(row: Mapping[str, Any], where: str) -> float:
    word, value = row.get("verdict"), row.get("belongs")
    if value is None and word is None:
        raise CallerError(f"{where}: there is neither verdict (yes, no, unsure) nor belongs (0 to 1)")
    if value is None:
        known = WORDS.get(str(word).strip().lower())
        if known is None:
            raise CallerError(f"{where}: verdict is {word!r}; it is yes, no or unsure")
        return known
    try:
        found = float(value)
    except (ValueError, TypeError):
        raise CallerError(f"{where}: belongs is {value!r}, not a number from 0 to 1") from None
    if not 0 <= found <= 1:
        raise CallerError(f"{where}: belongs is {found:g}, not from 0 to 1")
    return found


def _time(value: Any, where: str) -> datetime | None:
    if value is None:
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise CallerError(f"{where}: at is {value!r}, not a time such as 2026-01-31T07:30:00Z") from None
