"""Writes the tables of a judged label bank, block by block in the candidates' order: questions, answers, decisions."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.negfilter.decisions import DECISIONS, Decided
from ood_core.negfilter.questions import QUESTIONS
from ood_core.vectors import parquet_options
from pipelines.judges.answers import KEPT, WHOSE
from pipelines.judges.judge import Judge
from pipelines.label_banks.negfilter import NegFilter, Wave
from pipelines.storage import Directory

QUESTIONS_FILE, ANSWERS_FILE, DECISIONS_FILE = "questions.parquet", "answers.parquet", "decisions.parquet"
DECISION_COLUMNS = pa.schema(
    {
        "negative": pa.string(),  # as it was asked about
        "spelled": pa.string(),  # as the corpus has it
        "part": pa.string(),
        "selection_score": pa.float64(),
        "decision": pa.string(),
        "id_label": pa.string(),  # that it is the same as, or a subcategory of
    }
)
CANDIDATES_AT_ONCE = 4096


def write(output: Directory, filtered: NegFilter, judge: Judge, decided: Decided) -> None:
    """Writes the three tables; each is visible once it is whole."""
    wave = _in_order(filtered)
    with ExitStack() as files:
        add_questions = files.enter_context(_table(output, QUESTIONS_FILE, QUESTIONS))
        add_answers = files.enter_context(_table(output, ANSWERS_FILE, KEPT))
        for block in wave.blocks():
            questions = filtered.questions(block)
            add_questions.write_table(questions)
            answers = filtered.answers.table(questions["question"].to_numpy())
            for name in WHOSE:
                answers = answers.append_column(name, pa.array([getattr(judge, name)] * len(answers), pa.string()))
            add_answers.write_table(answers)
    with _table(output, DECISIONS_FILE, DECISION_COLUMNS) as add_decisions:
        for first in range(0, len(filtered.candidates), CANDIDATES_AT_ONCE):
            rows = range(first, min(first + CANDIDATES_AT_ONCE, len(filtered.candidates)))
            add_decisions.write_table(_decisions(filtered, decided, rows))


def remove(output: Directory) -> None:
    """Removes the tables of an earlier build, if there are any."""
    for name in (QUESTIONS_FILE, ANSWERS_FILE, DECISIONS_FILE):
        output.remove(name)


def _in_order(filtered: NegFilter) -> Wave:
    """All questions, sorted by candidate: whether it is a proper noun, then one for each of its nearest ID labels."""
    waves = filtered.proper_nouns(), filtered.subcategories()
    rows, ranks = (np.concatenate([getattr(wave, name) for wave in waves]) for name in ("rows", "ranks"))
    return Wave(rows, ranks)[np.lexsort((ranks, rows))]


@contextmanager
def _table(output: Directory, name: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A writer of one table, which is visible once it is whole."""
    with output.writing(name) as file, pq.ParquetWriter(file, schema, **parquet_options(schema)) as writer:
        yield writer


def _decisions(filtered: NegFilter, decided: Decided, rows: range) -> pa.Table:
    """The decisions on some candidates, in the columns `DECISION_COLUMNS`."""
    chosen, ranks = filtered.candidates.take(rows), decided.rank[rows]
    labels = [
        filtered.ids[filtered.nearest[row, rank - 1]] if rank else None for row, rank in zip(rows, ranks, strict=True)
    ]
    columns = {
        "negative": chosen.texts,
        "spelled": chosen.spelled,
        "part": chosen.parts,
        "selection_score": pa.array(chosen.scores, pa.float64(), mask=np.isnan(chosen.scores)),
        "decision": [DECISIONS[code] for code in decided.decision[rows]],
        "id_label": labels,
    }
    return pa.table(columns, schema=DECISION_COLUMNS)


def counts(filtered: NegFilter, decided: Decided) -> dict[str, int]:
    """How many candidates of each part met each decision, by the names of `bank.json`: `judged_kept_noun`."""
    met = Counter(zip((DECISIONS[code] for code in decided.decision), filtered.candidates.parts, strict=True))
    return {f"judged_{decision.replace('-', '_')}_{part}": count for (decision, part), count in sorted(met.items())}
