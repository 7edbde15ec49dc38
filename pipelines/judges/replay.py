"""A judge that repeats recorded answers: another build's tables, or NegRefine's own log."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.negfilter.negrefine_log import PUBLISHED_PROMPTS, read_log
from ood_core.negfilter.questions import ANSWERS, question_id
from pipelines.errors import CallerError, first_line
from pipelines.inputs.label_bank import read_words
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.storage import file_system, storage_errors

OPTION = "--judge"
"""The command line's for judges of texts; the one for a recording is `OPTION-recorded`."""
NOT_RECORDED = "not recorded"
RECORDED = pa.schema([*ANSWERS, pa.field("model", pa.string()), pa.field("prompt_version", pa.string())])
"""Columns of a recording: an answer and who gave it; only `question` and `answer` must be there."""


@dataclass(frozen=True)
class ReplayJudge:
    """Gives the answers that were recorded. `recorded`: a row of `ANSWERS` for each question, sorted by its id."""

    recorded: pa.Table
    model: str
    prompt_version: str

    @classmethod
    def load(cls, url: str, options: Mapping[str, Any], option: str = OPTION, in_words: bool = False) -> "ReplayJudge":
        """Reads a Parquet table, a folder of them, or a log of NegRefine (`.txt`, `.txt.gz`).

        `option`: the judge's on the command line. `in_words`: answers may be other than yes and no.

        `model` is `replay:` and the recorded model, or the recording's fingerprint where it names none. If a question
        was answered twice, the first answer counts, by order of the files' names, as in a store of answers; a log is
        read as `read_log` says. Raises CallerError, naming the option, if it cannot be read or holds answers of
        several models.
        """
        try:
            files = _files(url, options, f"{option}-recorded")
            rows = pa.concat_tables([_rows(file, options, f"{option}-recorded", in_words) for file in files])
            recorded = _once_each(rows)
            model, prompts = _the_one(rows, "model"), _the_one(rows, "prompt_version")
        except ValueError as error:
            raise CallerError(
                f"{option}-recorded {url!r} is not a recording of answers: {first_line(error)}"
            ) from error
        return cls(recorded, f"replay:{model or _fingerprint(recorded)}", prompts or "unknown")

    def answers(self, questions: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """See `Judge.answers`; a table of answers for every table of questions, in its order."""
        known = self.recorded["question"].to_numpy()
        for table in questions:
            asked = table["question"].to_numpy()
            row = np.searchsorted(known, asked)
            row[row == len(known)] = 0
            missing = known[row] != asked if len(known) else np.ones(len(asked), bool)
            yield _answered(table["question"], self.recorded.take(pa.array(row, mask=missing)))


def _answered(question: pa.ChunkedArray, found: pa.Table) -> pa.Table:
    """The answers in `found`, each missing one with the reason why it is missing."""
    why = found["error"].fill_null(NOT_RECORDED).to_numpy()
    error = pa.array(why, pa.string(), mask=found["answer"].is_valid().to_numpy())
    return pa.table([question, found["answer"], found["probability_yes"], error], schema=ANSWERS)


def _files(url: str, options: Mapping[str, Any], option: str) -> list[str]:
    """The URL itself if it is a file's, or those of the Parquet files in the folder, sorted."""
    files, path = file_system(url, options)
    with storage_errors(f"{option} {url!r}"):
        if files.info(path)["type"] != "directory":
            return [url]
        found = sorted(entry.rsplit("/", 1)[-1] for entry in files.ls(path, detail=False))
    tables = [f"{url.rstrip('/')}/{name}" for name in found if name.endswith(".parquet")]
    if not tables:
        raise CallerError(f"{option} {url!r} holds no .parquet file")
    return tables


def _rows(url: str, options: Mapping[str, Any], option: str, in_words: bool) -> pa.Table:
    """One file's rows of `RECORDED`. Raises ValueError naming the file if it is no recording."""
    content = read_words(option, url, options)
    try:
        return _log(content) if url.endswith((".txt", ".txt.gz")) else _table(content, in_words)
    except (*DAMAGE, ValueError, EOFError, zlib.error) as error:
        raise ValueError(f"{url.rsplit('/', 1)[-1]}: {first_line(error)}") from error


def _log(content: bytes) -> pa.Table:
    """The rows of `RECORDED` in a log of NegRefine, gzipped or not. Raises ValueError if it is none."""
    log = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    answers = read_log(log.decode("utf-8").splitlines())
    columns: dict[str, Any] = {name: pa.nulls(len(answers)) for name in RECORDED.names}
    columns["question"] = [question_id(*asked) for asked in answers]
    columns["answer"] = ["yes" if yes else "no" for yes in answers.values()]
    columns["prompt_version"] = [PUBLISHED_PROMPTS] * len(answers)
    return pa.table(columns).cast(RECORDED)


def _table(content: bytes, in_words: bool) -> pa.Table:
    """The rows of `RECORDED` in a Parquet table. Raises ValueError if it holds no answers."""
    held = pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True)
    absent = [name for name in ("question", "answer") if name not in held.schema_arrow.names]
    if absent:
        raise ValueError(f"it has no column {absent[0]!r}")
    table = held.read([name for name in RECORDED.names if name in held.schema_arrow.names])
    columns = [table[name] if name in table.column_names else pa.nulls(len(table)) for name in RECORDED.names]
    rows = pa.table(columns, names=RECORDED.names).cast(RECORDED)
    other = set(rows["answer"].unique().to_pylist()) - {"yes", "no", None}
    if other and not in_words:
        raise ValueError(f"an answer must be yes, no or null, not {sorted(other)[0]!r}")
    if rows["question"].null_count:
        raise ValueError("a question must not be null")
    return rows


def _once_each(rows: pa.Table) -> pa.Table:
    """One row for each question, sorted by its id: the first that has an answer, or else the first."""
    ids = rows["question"].to_numpy()
    order = np.lexsort((rows["answer"].is_null().to_numpy(), ids))  # stable
    _, first = np.unique(ids[order], return_index=True)
    return rows.select(ANSWERS.names).take(order[first]).combine_chunks()


def _the_one(rows: pa.Table, column: str) -> str | None:
    """The one value in a column of rows, None if there is none. Raises ValueError if there are several."""
    values = sorted(rows[column].drop_null().unique().to_pylist())
    if len(values) > 1:
        raise ValueError(f"it holds answers of more than one {column}: {', '.join(values[:5])}")
    return values[0] if values else None


def _fingerprint(recorded: pa.Table) -> str:
    """`recording-` and eight hexadecimal digits that differ for other answers."""
    answer = recorded["answer"].fill_null("").to_pylist()
    content = recorded["question"].to_numpy().tobytes() + "\n".join(answer).encode()
    return f"recording-{hashlib.blake2b(content, digest_size=4).hexdigest()}"
