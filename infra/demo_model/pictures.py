"""What is known about a picture before it is rendered, and how names are cleaned and looked up in WordNet."""

import re
from dataclasses import dataclass, field

from infra.demo_model.wordnet import wordnet

NOISE = {
    "bw", "md", "sm", "lg", "v", "r", "s", "svg", "png", "copy", "clipart", "clip", "art", "openclipart", "hash",
    "theme", "unsorted", "remix", "icon01", "the", "of", "a", "an", "and", "with", "in", "on", "by", "de", "la",
    "le", "du", "di", "del", "il", "lo", "con", "da", "una", "un", "per", "without", "icons", "cm", "white",
    "black", "simple", "small", "big", "new", "old", "no", "baby", "head", "face", "monster", "male", "female",
    "young", "two", "three",
}  # fmt: skip


@dataclass
class Picture:
    """One drawing, emoji or glyph: where it comes from and what it is called."""

    key: str
    source: str
    path: str
    creator: str
    subject: str
    name: str
    folders: list[str] = field(default_factory=list)
    keywords: list[str] = field(default_factory=list)
    synset: int | None = None
    found: str = ""

    def hypernyms(self) -> list[str]:
        """Names of what the picture's synset is a kind of, most specific first, without the top of WordNet."""
        if self.synset is None:
            return []
        nouns = wordnet().nouns
        return [
            nouns[a].name
            for a in wordnet().ancestors(self.synset)[1:]
            if nouns[a].file != "noun.Tops" or a in _KEPT_TOPS
        ]

    def texts(self) -> set[str]:
        """Every text that is true of the picture."""
        return {t for t in {self.name, self.found, *self.folders, *self.keywords, *self.hypernyms()} if t}


_KEPT_TOPS = frozenset(wordnet().first(word) for word in ("animal", "person", "food")) | {wordnet().senses["plant"][1]}


def clean(text: str, drop: str = "") -> str:
    """Lower-case words without digits, file noise and the words of `drop` (the creator), which file names cut off."""
    dropped = [w for w in re.findall(r"[^\W\d_]+", drop.lower()) if len(w) > 2]
    words = re.findall(r"[^\W\d_]+", text.lower())
    tail = set()
    for i in range(len(words) - 1, -1, -1):  # creators are at the end of a file name, the last word possibly cut off
        if not any(w == words[i] or (len(words[i]) > 1 and w.startswith(words[i])) for w in dropped):
            break
        tail.add(i)
    return " ".join(w for i, w in enumerate(words) if i not in tail and len(w) > 1 and w not in dropped)


def phrases(text: str) -> list[str]:
    """Every run of words of a text, longest first; of equal runs the last first (English heads stand last)."""
    words = text.split()
    runs = [(n, i) for n in range(min(4, len(words)), 0, -1) for i in range(len(words) - n, -1, -1)]
    return [p for n, i in runs if (p := " ".join(words[i : i + n])) not in NOISE]


def look_up(texts: list[str], roots: frozenset[int]) -> tuple[int | None, str]:
    """The first noun among the phrases of the texts with a sense under one of the roots, and the phrase."""
    for text in texts:
        for phrase in phrases(text):
            if (synset := wordnet().find(phrase, roots)) is not None:
                return synset, wordnet().base_form(phrase) or phrase
    return None, ""


def look_up_kind(texts: list[str], roots: frozenset[int]) -> tuple[int | None, str]:
    """As `look_up`, then replaced by any later, more specific find that is a kind of it (bird -> penguin)."""
    synset, found = look_up(texts, roots)
    for text in texts if synset is not None else ():
        other, phrase = look_up([text], roots)
        if other is not None and other != synset and synset in wordnet().ancestors(other):
            synset, found = other, phrase
    return synset, found
