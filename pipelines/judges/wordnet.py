"""A judge that looks relations up in WordNet: no model, no network, a minute for millions of questions."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ood_core.negfilter.questions import ANSWERS
from ood_core.negfilter.wordnet import RULES_VERSION, NounJudge

ASKED = ("negative", "id_label")


@dataclass(frozen=True)
class WordNetJudge:
    """Answers every question by WordNet 3.0; no for words that it does not list."""

    nouns: NounJudge
    model: str = "wordnet-3.0"
    prompt_version: str = RULES_VERSION

    @classmethod
    def load(cls) -> "WordNetJudge":
        return cls(NounJudge.load())

    def answers(self, questions: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """See `Judge.answers`; a table of answers for every table of questions, in its order."""
        for table in questions:
            yes = [self._yes(*asked) for asked in zip(*(table[name].to_pylist() for name in ASKED), strict=True)]
            answer = pa.array(np.where(np.array(yes, bool), "yes", "no"))
            nothing = [pa.nulls(len(yes), kind) for kind in (pa.float64(), pa.string())]
            yield pa.table([table["question"], answer, *nothing], schema=ANSWERS)

    def _yes(self, negative: str, id_label: str | None) -> bool:
        if id_label is None:
            return self.nouns.is_proper_noun(negative)
        return self.nouns.is_subcategory(negative, id_label)
