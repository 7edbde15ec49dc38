"""WordNet's relations of nouns: senses, which of them are names, and what each is a kind of."""

from collections.abc import Mapping
from dataclasses import dataclass

from ood_core.vocabulary.corpus import as_text, read_synsets


@dataclass(frozen=True)
class NounRelations:
    """Nouns of WordNet 3.0. A sense is a synset's offset; words are lower-case, with spaces."""

    senses_of: Mapping[str, tuple[int, ...]]
    hypernyms_of: Mapping[int, tuple[int, ...]]
    names: frozenset[int]

    @classmethod
    def load(cls) -> "NounRelations":
        """Reads the relations of the bundled WordNet."""
        columns = read_synsets(["pos", "offset", "lemmas", "senses", "hypernyms", "instance_hypernyms"]).to_pydict()
        numbered: dict[str, list[tuple[int, int]]] = {}
        hypernyms_of: dict[int, tuple[int, ...]] = {}
        names: set[int] = set()
        for pos, sense, lemmas, numbers, kinds, instances in zip(*columns.values(), strict=True):
            if pos != "n":
                continue
            for lemma, number in zip(lemmas, numbers, strict=True):
                numbered.setdefault(as_text(lemma), []).append((number, sense))
            hypernyms_of[sense] = (*kinds, *instances)
            if instances:
                names.add(sense)
        # once each: "Sun" and "sun" are two lemmas of one synset
        senses_of = {word: tuple(sense for _, sense in sorted(set(pairs))) for word, pairs in numbered.items()}
        return cls(senses_of, hypernyms_of, frozenset(names))

    def senses(self, word: str) -> tuple[int, ...]:
        """The senses of a noun, commonest first; none if WordNet does not list it."""
        return self.senses_of.get(word, ())

    def is_instance(self, sense: int) -> bool:
        """Whether the sense is an instance (Paris) and not a kind (city)."""
        return sense in self.names

    def hypernym_closure(self, sense: int) -> frozenset[int]:
        """The sense itself and all that it is a kind or an instance of."""
        found: set[int] = set()
        waiting = [sense]
        while waiting:
            reached = waiting.pop()
            if reached not in found:
                found.add(reached)
                waiting.extend(self.hypernyms_of[reached])
        return frozenset(found)
