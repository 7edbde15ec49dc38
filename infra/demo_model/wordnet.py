"""A small reader of WordNet 3.0's own noun and adjective files: senses, hypernyms, glosses, lexicographer files."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

WORDNET_DIR = Path("/usr/share/wordnet")

# Number of a lexicographer file in the data files -> its name (lexnames(5WN)); verbs and adverbs are not read.
LEXICOGRAPHER_FILES = {
    0: "adj.all", 1: "adj.pert", 44: "adj.ppl", 3: "noun.Tops", 4: "noun.act", 5: "noun.animal", 6: "noun.artifact",
    7: "noun.attribute", 8: "noun.body", 9: "noun.cognition", 10: "noun.communication", 11: "noun.event",
    12: "noun.feeling", 13: "noun.food", 14: "noun.group", 15: "noun.location", 16: "noun.motive", 17: "noun.object",
    18: "noun.person", 19: "noun.phenomenon", 20: "noun.plant", 21: "noun.possession", 22: "noun.process",
    23: "noun.quantity", 24: "noun.relation", 25: "noun.shape", 26: "noun.state", 27: "noun.substance", 28: "noun.time",
}  # fmt: skip
_PLURALS = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)


@dataclass(frozen=True)
class Synset:
    offset: int
    file: str
    words: tuple[str, ...]
    parents: tuple[int, ...]
    gloss: str

    @property
    def name(self) -> str:
        return self.words[0]


def _synset(line: str) -> Synset:
    fields, _, gloss = line.partition(" | ")
    parts = fields.split()
    count = int(parts[3], 16)
    words = tuple(parts[4 + 2 * i].split("(")[0].replace("_", " ").lower() for i in range(count))
    pointers = parts[5 + 2 * count :]
    parents = tuple(
        int(pointers[i + 1]) for i in range(0, 4 * int(parts[4 + 2 * count]), 4) if pointers[i] in ("@", "@i")
    )
    return Synset(int(parts[0]), LEXICOGRAPHER_FILES[int(parts[1])], words, parents, gloss.split(";")[0].strip())


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="latin-1").splitlines() if not line.startswith("  ")]


class WordNet:
    """Nouns by name and by offset; adjectives only as synsets."""

    def __init__(self, root: Path = WORDNET_DIR) -> None:
        self.root = root
        self.nouns = {s.offset: s for s in map(_synset, _lines(root / "data.noun"))}
        self.senses = dict(self._index("index.noun"))
        self.irregular = {a: b for a, b, *_ in (line.split() for line in _lines(root / "noun.exc"))}

    @cached_property
    def adjectives(self) -> list[Synset]:
        return [_synset(line) for line in _lines(self.root / "data.adj")]

    def _index(self, name: str) -> list[tuple[str, tuple[int, ...]]]:
        rows = [line.split() for line in _lines(self.root / name)]
        return [(row[0].replace("_", " "), tuple(map(int, row[-int(row[2]) :]))) for row in rows]

    def base_form(self, phrase: str) -> str | None:
        """The phrase as WordNet lists it (plural endings and irregular forms undone), or None."""
        if phrase in self.senses:
            return phrase
        if phrase in self.irregular:
            return self.irregular[phrase].replace("_", " ")
        forms = (
            phrase[: -len(end)] + new for end, new in _PLURALS if phrase.endswith(end) and len(phrase) > len(end) + 1
        )
        return next((form for form in forms if form in self.senses), None)

    def ancestors(self, offset: int) -> tuple[int, ...]:
        """The synset itself and everything above it, nearest first."""
        seen, queue = [offset], [offset]
        while queue:
            for parent in self.nouns[queue.pop(0)].parents:
                if parent not in seen:
                    seen.append(parent)
                    queue.append(parent)
        return tuple(seen)

    def find(self, phrase: str, roots: frozenset[int] = frozenset()) -> int | None:
        """The first sense of a phrase under one of the roots (any root when none are given)."""
        base = self.base_form(phrase)
        senses = self.senses.get(base, ()) if base else ()
        return next((s for s in senses if not roots or roots & set(self.ancestors(s))), None)

    def first(self, phrase: str) -> int:
        """The first sense of a noun that must be there."""
        return self.senses[phrase][0]


@cache
def wordnet() -> WordNet:
    return WordNet()
