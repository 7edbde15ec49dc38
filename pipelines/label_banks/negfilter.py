"""NegRefine's filter over the candidates that a criterion keeps: questions in two waves, answers, decisions.

A candidate takes the memory of its text, its nearest ID labels (4 bytes each) and their answers (17 bytes each).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ood_core.negfilter.decisions import NO, NO_ANSWER, YES, Decided, decide
from ood_core.negfilter.questions import PROPER_NOUN, SHORTEST, SUBCATEGORY, clean, question_id, questions
from ood_core.vocabulary import Part
from pipelines.judges.answers import Answers, AnswerStore
from pipelines.judges.judge import Judge
from pipelines.label_banks.corpus import first_of_each
from pipelines.runtime.progress import Say, counting

QUESTIONS_AT_ONCE = 4096


@dataclass(frozen=True)
class CandidateLabels:
    """The candidates that a criterion keeps, nouns before adjectives, best first within each part.

    `texts`: as they are asked about and encoded. `spelled`: as the corpus has them. `scores`: lower is kept first; NaN
    where nothing was ranked.
    """

    texts: Sequence[str]
    spelled: Sequence[str]
    parts: Sequence[Part]
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> "CandidateLabels":
        """The candidates of these rows, in the order of `rows`."""
        return CandidateLabels(
            [self.texts[row] for row in rows],
            [self.spelled[row] for row in rows],
            [self.parts[row] for row in rows],
            self.scores[list(rows)],
        )

    def cleaned(self) -> "CandidateLabels":
        """The candidates after NegRefine's cleaning (METHODS.md §5); of equal texts in a part the first stays."""
        texts = [clean(text) for text in self.texts]
        rows: dict[tuple[Part, str], int] = {}
        for row, (part, text) in enumerate(zip(self.parts, texts, strict=True)):
            if len(text) >= SHORTEST:
                rows.setdefault((part, text), row)
        kept = self.take(list(rows.values()))
        return CandidateLabels([text for _, text in rows], kept.spelled, kept.parts, kept.scores)


class Wave:
    """Questions that are asked together: the candidate's row of each, and what is asked of it.

    `ranks`: 0 asks whether the candidate is a proper noun; n asks whether it is a subcategory of the ID label that is
    its n-th nearest.
    """

    def __init__(self, rows: np.ndarray, ranks: np.ndarray) -> None:
        self.rows, self.ranks = rows, ranks

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: np.ndarray | slice) -> "Wave":
        return Wave(self.rows[which], self.ranks[which])

    def blocks(self) -> "Iterator[Wave]":
        """The questions in order, at most `QUESTIONS_AT_ONCE` in each."""
        return (self[start : start + QUESTIONS_AT_ONCE] for start in range(0, len(self), QUESTIONS_AT_ONCE))


@dataclass(frozen=True)
class NegFilter:
    """Candidates and what a judge says of them.

    `ids`: the ID labels. `nearest`: indices of the ID labels nearest to each candidate, [candidates, n], nearest first.
    """

    candidates: CandidateLabels
    ids: Sequence[str]
    nearest: np.ndarray
    answers: Answers = field(default_factory=Answers)

    def ask(self, judge: Judge, store: AnswerStore | None = None, say: Say = lambda _: None) -> None:
        """Asks in two waves: about proper nouns, then of the candidates that are none about subcategories.

        Questions that `answers` knows are not asked again. New answers are stored as they come. Raises RuntimeError if
        a judge does not answer every question exactly once.
        """
        self._ask(self.proper_nouns(), PROPER_NOUN, judge, store, say)
        self._ask(self.subcategories(), SUBCATEGORY, judge, store, say)

    def decisions(self) -> Decided:
        """The decision on each candidate, by the answers that there are."""
        kinds = self.subcategories()
        subcategory = np.full(self.nearest.shape, NO, np.int8)
        subcategory[kinds.rows, kinds.ranks - 1] = self.answers.codes(self.question_ids(kinds))
        return decide(self._proper_noun_codes(), self._same(), subcategory)

    def proper_nouns(self) -> Wave:
        """The first wave: whether each candidate is a proper noun."""
        return Wave(np.arange(len(self.candidates)), np.zeros(len(self.candidates), int))

    def subcategories(self) -> Wave:
        """The second wave: whether candidates not known as proper nouns are subcategories of near ID labels."""
        rows, ranks = np.nonzero((self._proper_noun_codes() != YES)[:, None] & ~self._same())
        return Wave(rows, ranks + 1)

    def question_ids(self, wave: Wave) -> np.ndarray:
        """The 64-bit id of each question, which depends on its words alone."""
        return np.fromiter((question_id(*words) for words in self._words(wave)), np.int64, len(wave))

    def questions(self, wave: Wave) -> pa.Table:
        """The questions as a table of `QUESTIONS`."""
        ranks = (int(rank) or None for rank in wave.ranks)
        return questions((*words, rank) for words, rank in zip(self._words(wave), ranks, strict=True))

    def _words(self, wave: Wave) -> Iterator[tuple[str, str | None]]:
        """The candidate and the ID label (None: the question is of a proper noun) of each question."""
        rows: list[int] = wave.rows.tolist()
        labels: list[int] = self.nearest[wave.rows, wave.ranks - 1].tolist()
        for row, rank, label in zip(rows, wave.ranks.tolist(), labels, strict=True):
            yield self.candidates.texts[row], self.ids[label] if rank else None

    def _proper_noun_codes(self) -> np.ndarray:
        return self.answers.codes(self.question_ids(self.proper_nouns()))

    def _same(self) -> np.ndarray:
        """Where a candidate is its nearest ID label itself, however capitalised, [candidates, n]."""
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
