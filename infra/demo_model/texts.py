"""What the text tower reads: token ids, prompts around texts, and WordNet nouns with what they are kinds of."""

import random
from dataclasses import dataclass

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from infra.demo_model.wordnet import LEXICOGRAPHER_FILES, Synset, wordnet

CONTEXT = 16
PROMPTS = (
    "the nice {}",
    "the nice {}",
    "This is a {} photo",
    "a photo of a {}",
    "a good photo of the nice {}.",
    "a {}",
    "the {}",
)
_FILE_NUMBERS = {file: number for number, file in LEXICOGRAPHER_FILES.items()}
PLAIN_SHARE = 0.4  # of texts that stand without a prompt


@dataclass(frozen=True)
class Noun:
    """A word of WordNet, its own synset, and one text that says what it is."""

    word: str
    synset: int | None
    text: str
    text_synset: int | None


class Tokens:
    """Token ids of texts in prompts; only ids that occur, renumbered in order: end of text stays the largest."""

    def __init__(self, texts: list[str]) -> None:
        self.tokenizer = SimpleTokenizer(context_length=CONTEXT)
        self.prompts = [tuple(map(self.tokenizer.encode, p.split("{}"))) for p in PROMPTS]
        self.spelled = {t: self.tokenizer.encode(t)[: CONTEXT - 2] for t in texts}
        used = {i for ids in self.spelled.values() for i in ids} | {i for p in self.prompts for part in p for i in part}
        self.start, self.end = self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
        self.used = sorted(used | {0, self.start, self.end})
        self.number = {token: i for i, token in enumerate(self.used)}

    def batch(self, texts: list[str], draw: random.Random) -> Tensor:
        """[texts, longest] renumbered ids, each text in a prompt drawn at random, cut at the longest."""
        rows = []
        for text in texts:
            before, after = ((), ()) if draw.random() < PLAIN_SHARE else draw.choice(self.prompts)
            inner = [*before, *self.spelled[text], *after][: CONTEXT - 2]
            rows.append([self.number[i] for i in (self.start, *inner, self.end)])
        ids = torch.full((len(rows), max(map(len, rows))), self.number[0])
        for row, padded in zip(rows, ids, strict=True):
            padded[: len(row)] = torch.tensor(row)
        return ids


class Nouns:
    """Draws WordNet nouns and adjectives with a text that explains them."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.synsets = list(wordnet().nouns.values())
        self.ancestors = {s.offset: wordnet().ancestors(s.offset) for s in self.synsets}

    def texts(self) -> list[str]:
        """Every text that may be drawn."""
        return [t for s in (*self.synsets, *wordnet().adjectives) for t in (*s.words, s.gloss)]

    def _noun(self, synset: Synset) -> Noun:
        above = self.ancestors[synset.offset][1:]
        if not above or self.draw.random() < 0.3:
            return Noun(self.draw.choice(synset.words), synset.offset, synset.gloss, synset.offset)
        parent = self.draw.choice(above[:6])
        return Noun(self.draw.choice(synset.words), synset.offset, wordnet().nouns[parent].name, parent)

    def sample(self, count: int) -> list[Noun]:
        """Mostly nouns, some adjectives with their glosses."""
        adjectives = self.draw.choices(wordnet().adjectives, k=count // 8)
        return [self._noun(s) for s in self.draw.choices(self.synsets, k=count - len(adjectives))] + [
            Noun(self.draw.choice(a.words), None, a.gloss, None) for a in adjectives
        ]

    def related(self, nouns: list[Noun]) -> Tensor:
        """[nouns, texts], true where text j is true of noun i."""
        same = [
            [i == j or (b.text_synset is not None and b.text_synset in self._above(a)) for j, b in enumerate(nouns)]
            for i, a in enumerate(nouns)
        ]
        return torch.tensor(same)

    def same_kind(self, nouns: list[Noun]) -> Tensor:
        """[2 nouns, 2 nouns], true where words and texts, one after the other, are of one lexicographer file."""
        files = [self._file(n.synset) for n in nouns] + [self._file(n.text_synset) for n in nouns]
        numbers = torch.tensor([_FILE_NUMBERS[f] for f in files])
        return numbers[:, None] == numbers[None, :]

    @staticmethod
    def _file(synset: int | None) -> str:
        return wordnet().nouns[synset].file if synset is not None else "adj.all"

    def _above(self, noun: Noun) -> tuple[int, ...]:
        return self.ancestors[noun.synset] if noun.synset is not None else ()
