"""WordNet as a judge: an instance is a proper noun, and what lies under an ID label is a subcategory of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ood_core.negfilter.questions import clean
from ood_core.vocabulary.relations import NounRelations

RULES_VERSION = "commonest-sense-1"
"""Version of the rules below. Answers by other rules are other answers: a change here is a new version."""


@dataclass(frozen=True)
class NounJudge:
    """Answers by WordNet's relations: no for a word that is none of its nouns, since it holds no relation of it.

    A negative label is taken in its commonest sense, which is what its text brings to mind; an ID label in any of its
    senses, since nobody says in which one its class is meant. `senses_of` is by lower-case spelling.
    """

    relations: NounRelations
    senses_of: Mapping[str, tuple[int, ...]]
    _above: dict[int, frozenset[int]] = field(default_factory=dict, init=False, repr=False)  # closures found so far

    @classmethod
    def load(cls) -> "NounJudge":
        """From the bundled WordNet. A noun is also found as `clean` spells it ("adams peak"), unless another is."""
        relations = NounRelations.load()
        senses_of = dict(relations.senses_of)
        for word, senses in relations.senses_of.items():
            senses_of.setdefault(clean(word), senses)
        senses_of.pop("", None)  # "9/11"
        return cls(relations, senses_of)

    def is_proper_noun(self, word: str) -> bool:
        """Whether the word in its commonest sense is an instance (Paris), not a kind (city)."""
        senses = self._senses(word)
        return bool(senses) and self.relations.is_instance(senses[0])

    def is_subcategory(self, negative: str, id_label: str) -> bool:
        """Whether the negative in its commonest sense is an ID label in any sense, or a kind or instance of one.

        So a word is a subcategory of itself and of its synonyms.
        """
        senses, kinds = self._senses(negative), self._senses(id_label)
        return bool(senses and kinds) and not self._closure(senses[0]).isdisjoint(kinds)

    def _senses(self, word: str) -> tuple[int, ...]:
        spelled = word.lower()
        found = self.senses_of.get(spelled)
        return self.senses_of.get(clean(spelled), ()) if found is None else found

    def _closure(self, sense: int) -> frozenset[int]:
        found = self._above.get(sense)
        if found is None:
            found = self._above[sense] = self.relations.hypernym_closure(sense)
        return found
