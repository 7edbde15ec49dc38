"""The three tables of a judged label bank, written block by block, in the candidates' order."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.negfilter.decisions import DECISIONS, Decided
from ood_core.negfilter.questions import QUESTIONS
from pipelines.label_banks.answers import KEPT, WHOSE
from pipelines.label_banks.judges import Judge
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


def write(output: Directory, asked: NegFilter, judge: Judge, decided: Decided) -> None:
    """Writes the three tables; each is visible once it is whole."""
    wave = _in_order(asked)
    with ExitStack() as files:
        add_questions = files.enter_context(_table(output, QUESTIONS_FILE, QUESTIONS))
        add_answers = files.enter_context(_table(output, ANSWERS_FILE, KEPT))
        for block in wave.blocks():
            questions = asked.questions(block)
            add_questions.write_table(questions)
            answers = asked.answers.table(questions["question"].to_numpy())
            for name in WHOSE:
                answers = answers.append_column(name, pa.array([getattr(judge, name)] * len(answers), pa.string()))
            add_answers.write_table(answers)
    with _table(output, DECISIONS_FILE, DECISION_COLUMNS) as add_decisions:
        for first in range(0, len(asked.candidates), CANDIDATES_AT_ONCE):
            rows = range(first, min(first + CANDIDATES_AT_ONCE, len(asked.candidates)))
            add_decisions.write_table(_decisions(asked, decided, rows))


def remove(output: Directory) -> None:
    """The tables of an earlier build."""
    for name in (QUESTIONS_FILE, ANSWERS_FILE, DECISIONS_FILE):
        output.remove(name)


def _in_order(asked: NegFilter) -> Wave:
    """All questions: a candidate's own first, then those of its nearest ID labels."""
    waves = asked.proper_nouns(), asked.subcategories()
    rows, ranks = (np.concatenate([getattr(wave, name) for wave in waves]) for name in ("rows", "ranks"))
    return Wave(rows, ranks)[np.lexsort((ranks, rows))]


@contextmanager
def _table(output: Directory, name: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    with (
        output.writing(name) as file,
        pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        yield writer


def _decisions(asked: NegFilter, decided: Decided, rows: range) -> pa.Table:
    chosen, ranks = asked.candidates.take(rows), decided.rank[rows]
    labels = [asked.ids[asked.nearest[row, rank - 1]] if rank else None for row, rank in zip(rows, ranks, strict=True)]
    columns = {
        "negative": chosen.texts,
        "spelled": chosen.spelled,
        "part": chosen.parts,
        "selection_score": chosen.scores,
        "decision": [DECISIONS[code] for code in decided.decision[rows]],
        "id_label": labels,
    }
    return pa.table(columns, schema=DECISION_COLUMNS)


def counts(asked: NegFilter, decided: Decided) -> dict[str, int]:
    """How many candidates of each part met each decision, as `bank.json` counts."""
    met = Counter(zip((DECISIONS[code] for code in decided.decision), asked.candidates.parts, strict=True))
    return {f"judged_{decision.replace('-', '_')}_{part}": count for (decision, part), count in sorted(met.items())}
