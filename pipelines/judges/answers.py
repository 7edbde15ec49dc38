"""Judges' answers: looked up by question, and stored, so that what was answered once is never asked again."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ood_core.negfilter.decisions import NO_ANSWER, YES
from ood_core.negfilter.questions import ANSWERS
from ood_core.vectors import parquet_bytes, parquet_table
from pipelines.errors import CallerError, first_line
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.judges.judge import Judge
from pipelines.storage import Directory

ANSWERS_OPTION = "--answers"
WHOSE = ("model", "prompt_version")
"""The columns that say who gave an answer: the judge's model and the wording of its questions."""
KEPT = pa.schema([*ANSWERS, *(pa.field(name, pa.string()) for name in WHOSE)])
"""The columns of a stored answer: those of `ANSWERS` and of `WHOSE`."""


class Answers:
    """Answers in memory, looked up by question; 17 bytes each. If a question was answered twice, the first counts."""

    def __init__(self) -> None:
        self._columns = np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0)
        self._new: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._errors: dict[int, str] = {}

    def add(self, answers: pa.Table) -> None:
        """Takes in a table of `ANSWERS`. A row with an error is no answer."""
        failed = answers.filter(compute.field("answer").is_null())
        self._errors.update(zip(failed["question"].to_pylist(), failed["error"].to_pylist(), strict=True))
        given = answers.filter(compute.field("answer").is_valid())
        codes = (given["answer"].to_numpy() == "yes").astype(np.int8)
        self._new.append((given["question"].to_numpy(), codes, given["probability_yes"].to_numpy()))

    def codes(self, questions: np.ndarray) -> np.ndarray:
        """`YES`, `NO` or `NO_ANSWER` for each question; `questions`: their ids."""
        return self._looked_up(questions, 1, NO_ANSWER)

    def table(self, questions: np.ndarray) -> pa.Table:
        """A table of `ANSWERS` with a row for each question, in order. Raises KeyError for one never answered."""
        codes, probabilities = self.codes(questions), self._looked_up(questions, 2, np.nan)
        missing = codes == NO_ANSWER
        errors = [
            self._errors[asked] if lost else None for asked, lost in zip(questions.tolist(), missing, strict=True)
        ]
        columns = {
            "question": questions,
            "answer": pa.array(np.where(codes == YES, "yes", "no"), pa.string(), mask=missing),
            "probability_yes": pa.array(probabilities, mask=np.isnan(probabilities)),
            "error": pa.array(errors, pa.string()),
        }
        return pa.table(columns, schema=ANSWERS)

    def _looked_up(self, questions: np.ndarray, column: int, missing: float) -> np.ndarray:
        """The value in a column for each question, `missing` where there is no answer."""
        self._merge()
        ids, values = self._columns[0], self._columns[column]
        found = np.full(len(questions), missing, values.dtype)
        if len(ids):
            places = np.minimum(np.searchsorted(ids, questions), len(ids) - 1)
            known = ids[places] == questions
            found[known] = values[places[known]]
        return found

    def _merge(self) -> None:
        """Sorts what was added since the last look-up in among the rest, by question."""
        if self._new:
            ids, codes, probabilities = map(np.concatenate, zip(self._columns, *self._new, strict=True))
            ids, first = np.unique(ids, return_index=True)
            self._columns, self._new = (ids, codes[first], probabilities[first]), []


@dataclass(frozen=True)
class AnswerStore:
    """A folder of answers, in parts that are written whole and never changed; several builds may share it.

    A part is written once `rows_a_part` answers wait, or `wait_s` seconds have passed since the last one. `option`: the
    command line's for the folder.
    """

    directory: Directory
    rows_a_part: int = 50_000
    wait_s: float = 30.0
    option: str = ANSWERS_OPTION

    def read(self, judge: Judge) -> Answers:
        """The answers of yes or no that this judge gave before. Raises CallerError as `tables` does."""
        answers = Answers()
        for table in self.tables(judge):
            answers.add(table)
        return answers

    def tables(self, judge: Judge, in_words: bool = False) -> Iterator[pa.Table]:
        """The answers that this judge gave before, in the columns `KEPT`. `in_words`: not only yes and no.

        Raises CallerError for a part that is not a table of answers.
        """
        whose = (compute.field("model") == judge.model) & (compute.field("prompt_version") == judge.prompt_version)
        for name in self.directory.names():
            if name.endswith(".parquet"):
                try:
                    part = parquet_table(pa.BufferReader(self.directory.read(name)), KEPT.names).cast(KEPT)
                    part = part.filter(whose)
                    other = set(part["answer"].unique().to_pylist()) - {"yes", "no"}
                    if None in other or (other and not in_words):
                        raise ValueError(f"it holds the answer {sorted(other, key=str)[0]!r}")
                except (*DAMAGE, ValueError, KeyError) as error:
                    place = f"{self.directory.url}/{name}"
                    raise CallerError(
                        f"{self.option} {place!r} is not a table of answers: {first_line(error)}"
                    ) from error
                yield part

    def kept(self, judge: Judge, found: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Passes the answers on as they come, and stores them in parts; after an error, what came before it too.

        Rows with an error are passed on and not stored.
        """
        waiting, begun = [], time.monotonic()
        try:
            for table in found:
                waiting.append(table.filter(compute.field("answer").is_valid()))
                yield table
                if sum(map(len, waiting)) >= self.rows_a_part or time.monotonic() - begun >= self.wait_s:
                    self._put(judge, waiting)
                    waiting, begun = [], time.monotonic()
        finally:
            self._put(judge, waiting)

    def _put(self, judge: Judge, waiting: list[pa.Table]) -> None:
        """Writes a part, named after its content, if there is anything to write."""
        rows = sum(map(len, waiting))
        if not rows:
            return
        table = pa.concat_tables(waiting)
        for name in WHOSE:
            table = table.append_column(name, pa.array([getattr(judge, name)] * rows, pa.string()))
        content = parquet_bytes(table.cast(KEPT))
        self.directory.put(f"part-{hashlib.sha256(content).hexdigest()[:16]}.parquet", content)


def answer_store(folder: str | None, default: Directory, option: str = ANSWERS_OPTION) -> AnswerStore:
    """The store in a folder, or else in `default`. Raises CallerError if the folder cannot be written to."""
    if not folder:
        return AnswerStore(default, option=option)
    directory = Directory(folder, default.options)
    directory.check_writable(option)
    return AnswerStore(directory, option=option)
