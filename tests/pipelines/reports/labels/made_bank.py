"""A small label bank with the tables that its judge left, every value known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.labels import BankInfo, LabelBank
from ood_core.negfilter.questions import question_id, questions
from pipelines.judges.answers import KEPT
from pipelines.label_banks.judge_tables import DECISION_COLUMNS

Row = tuple[str, str, float, str, str | None]
"""Of a candidate: text, part, selection score, decision, ID label."""

ROWS: tuple[Row, ...] = (
    ("hammer", "noun", 0.1, "kept", None),
    ("golden retriever", "noun", 0.2, "subcategory", "dog"),
    ("paris", "noun", 0.3, "proper-noun", None),
    ("cloud", "noun", 0.4, "unjudged", None),
    ("tabby", "noun", 0.5, "subcategory", "cat"),
    ("round", "adjective", 0.15, "kept", None),
)
COUNTS = {"id_labels": 2, "candidates_noun": 50, "candidates_adjective": 10, "kept_noun": 5, "kept_adjective": 1}
JUDGE = {"name": "http", "model": "tiny", "prompt_version": "negrefine-1"}


def bank(
    directory: Path, rows: Sequence[Row] = ROWS, ids: Sequence[str] = ("cat", "dog"), judged: bool = True, **info: Any
) -> Path:
    """Writes the bank of what stays, each text's embedding its own, and the decisions; returns the directory."""
    stays = [row for row in rows if row[3] in ("kept", "unjudged")]
    texts = [*ids, *(row[0] for row in stays)]
    LabelBank(
        texts=texts,
        parts=["noun"] * len(ids) + [row[1] for row in stays],
        id_count=len(ids),
        embeddings=np.stack([embedding(text) for text in texts]),
        selection_scores=np.array([*[np.nan] * len(ids), *(row[2] for row in stays)]),
        verdicts=[None] * len(ids) + [row[3] for row in stays],
        info=BankInfo(**{"model": "bundled", "judge": JUDGE, "counts": COUNTS, **info}),
    ).save(directory)
    if judged:
        decisions(directory, rows)
    return directory


def embedding(text: str) -> np.ndarray:
    drawn = np.random.default_rng(list(text.encode())).normal(size=4).astype(np.float32)
    return drawn / np.linalg.norm(drawn)


def decisions(directory: Path, rows: Sequence[Row], spelled: dict[str, str] | None = None) -> None:
    names = ("negative", "spelled", "part", "selection_score", "decision", "id_label")
    spelling = spelled or {}
    values = [dict(zip(names, (row[0], spelling.get(row[0], row[0]), *row[1:]), strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(values, DECISION_COLUMNS), directory / "decisions.parquet")


def answers(directory: Path, given: dict[tuple[str, str | None], float | str]) -> None:
    """Questions and answers: of each negative and ID label the probability of yes, or an error."""
    asked = [(negative, label, rank) for rank, (negative, label) in enumerate(given)]
    pq.write_table(questions(asked), directory / "questions.parquet")
    rows = [
        {
            "question": question_id(*question),
            "answer": None if isinstance(said, str) else "yes" if said > 0.5 else "no",
            "probability_yes": None if isinstance(said, str) else said,
            "error": said if isinstance(said, str) else None,
            "model": "tiny",
            "prompt_version": "negrefine-1",
        }
        for question, said in given.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows, KEPT), directory / "answers.parquet")
