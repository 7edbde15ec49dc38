"""NegRefine's filter over what a criterion keeps: questions in two waves, answers, decisions.

What is held of a candidate is its text, its nearest ID labels (4 bytes each) and their answers (17 bytes each).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ood_core.negfilter.decisions import NO, NO_ANSWER, YES, Decided, decide
from ood_core.negfilter.questions import PROPER_NOUN, SHORTEST, SUBCATEGORY, clean, question_id, questions
from ood_core.vocabulary import Part
from pipelines.label_banks.answers import Answers, AnswerStore
from pipelines.label_banks.corpus import first_of_each
from pipelines.label_banks.judges import Judge
from pipelines.runtime.progress import Say, counting

QUESTIONS_AT_ONCE = 4096


@dataclass(frozen=True)
class Candidates:
    """What a criterion keeps, best first, nouns before adjectives. `spelled`: as the corpus has the texts."""

    texts: Sequence[str]
    spelled: Sequence[str]
    parts: Sequence[Part]
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> "Candidates":
        return Candidates(
            [self.texts[row] for row in rows],
            [self.spelled[row] for row in rows],
            [self.parts[row] for row in rows],
            self.scores[list(rows)],
        )

    def cleaned(self) -> "Candidates":
        """NegRefine's cleaning (METHODS.md §5); of equal texts of a part the first stays."""
        texts = [clean(text) for text in self.texts]
        rows: dict[tuple[Part, str], int] = {}
        for row, (part, text) in enumerate(zip(self.parts, texts, strict=True)):
            if len(text) >= SHORTEST:
                rows.setdefault((part, text), row)
        kept = self.take(list(rows.values()))
        return Candidates([text for _, text in rows], kept.spelled, kept.parts, kept.scores)


class Wave:
    """Questions as pairs of a candidate's row and the rank, from 1, of an ID label among its nearest; 0 asks for a
    proper noun."""

    def __init__(self, rows: np.ndarray, ranks: np.ndarray) -> None:
        self.rows, self.ranks = rows, ranks

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: np.ndarray | slice) -> "Wave":
        return Wave(self.rows[which], self.ranks[which])

    def blocks(self) -> "Iterator[Wave]":
        return (self[start : start + QUESTIONS_AT_ONCE] for start in range(0, len(self), QUESTIONS_AT_ONCE))


@dataclass(frozen=True)
class NegFilter:
    """What a judge says of candidates. `nearest`: of each its ID labels, indices [candidates, n], nearest first."""

    candidates: Candidates
    ids: Sequence[str]
    nearest: np.ndarray
    answers: Answers = field(default_factory=Answers)

    def ask(self, judge: Judge, store: AnswerStore | None = None, say: Say = lambda _: None) -> None:
        """Two waves: proper nouns first, and of what they leave the subcategories, those of a label together.

        What `answers` or the store knows is not asked. New answers are kept in the store as they come.
        """
        self._ask(self.proper_nouns(), PROPER_NOUN, judge, store, say)
        self._ask(self.subcategories(), SUBCATEGORY, judge, store, say)

    def decisions(self) -> Decided:
        """What becomes of each candidate, by the answers that there are."""
        kinds = self.subcategories()
        subcategory = np.full(self.nearest.shape, NO, np.int8)
        subcategory[kinds.rows, kinds.ranks - 1] = self.answers.codes(self.question_ids(kinds))
        return decide(self._proper_noun_codes(), self._same(), subcategory)

    def proper_nouns(self) -> Wave:
        return Wave(np.arange(len(self.candidates)), np.zeros(len(self.candidates), int))

    def subcategories(self) -> Wave:
        """Of the candidates that are no proper nouns, as far as the answers say."""
        rows, ranks = np.nonzero((self._proper_noun_codes() != YES)[:, None] & ~self._same())
        return Wave(rows, ranks + 1)

    def question_ids(self, wave: Wave) -> np.ndarray:
        return np.fromiter((question_id(*words) for words in self._words(wave)), np.int64, len(wave))

    def questions(self, wave: Wave) -> pa.Table:
        ranks = (int(rank) or None for rank in wave.ranks)
        return questions((*words, rank) for words, rank in zip(self._words(wave), ranks, strict=True))

    def _words(self, wave: Wave) -> Iterator[tuple[str, str | None]]:
        rows: list[int] = wave.rows.tolist()
        labels: list[int] = self.nearest[wave.rows, wave.ranks - 1].tolist()
        for row, rank, label in zip(rows, wave.ranks.tolist(), labels, strict=True):
            yield self.candidates.texts[row], self.ids[label] if rank else None

    def _proper_noun_codes(self) -> np.ndarray:
        return self.answers.codes(self.question_ids(self.proper_nouns()))

    def _same(self) -> np.ndarray:
        """Where a candidate is the ID label itself, however capitalised."""
        first: dict[str, int] = {}
        labels = np.array([first.setdefault(label.casefold(), number) for number, label in enumerate(self.ids)], int)
        texts = np.array([first.get(text.casefold(), -1) for text in self.candidates.texts], int)
        return labels[self.nearest] == texts[:, None]

    def _ask(self, wave: Wave, kind: str, judge: Judge, store: AnswerStore | None, say: Say) -> None:
        ids = self.question_ids(wave)
        asked = wave[first_of_each(ids) & (self.answers.codes(ids) == NO_ANSWER)]
        say(f"{kind}: {len(asked)} questions to {judge.model}, {len(wave) - len(asked)} answered already")
        if not len(asked):
            return
        found = judge.answers(self.questions(block) for block in asked.blocks())
        count, progress = 0, counting(say, len(asked), "questions")
        for table in store.kept(judge, found) if store else found:
            self.answers.add(table)
            count += len(table)
            progress(len(table))
        if count != len(asked):
            raise RuntimeError(f"{judge.model} was asked {len(asked)} questions and gave {count} answers")
