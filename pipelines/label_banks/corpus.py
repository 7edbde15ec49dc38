"""The corpus: words of several sources as one stream of candidates, each text once, in memory that hardly grows.

The sources are gone through twice. The first time every word leaves eight bytes: enough to find the repeats, so that
the number of candidates is known before the first of them is encoded. The second time the candidates themselves stream.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from ood_core.vocabulary import Part, corpus_texts, wordnet_corpus
from pipelines.errors import CallerError, ReadError
from pipelines.inputs.label_bank import open_words
from pipelines.inputs.label_files import check_is_lines

WORDS_AT_ONCE = 4096
PARTS: tuple[Part, ...] = ("noun", "adjective")
"""In the order in which a label bank holds them."""


class Block(NamedTuple):
    """Some consecutive candidates of one part; `first`: the number in that part of the first of them, from 0."""

    part: Part
    first: int
    texts: list[str]


@dataclass(frozen=True)
class Sources:
    """The corpus's sources: `wordnet`, `FILE`, `noun:FILE` or `adjective:FILE`; of equal texts the first counts."""

    names: Sequence[str]
    wordnet_files: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def words(self) -> Iterator[tuple[str, Part]]:
        """Every word with its part, repeats too. Raises CallerError, naming the source, for what cannot be read."""
        for name in self.names:
            try:
                yield from self._words_of(name)
            except (ValueError, ReadError) as error:
                raise CallerError(f"--corpus {name!r}: {error}") from error

    def _words_of(self, name: str) -> Iterator[tuple[str, Part]]:
        if name == "wordnet":
            for word in wordnet_corpus(self.wordnet_files):
                yield word.text, word.part
            return
        part, file = _part_and_file(name)
        check_is_lines(file)
        with open_words("--corpus", file, self.options) as lines:
            for text in corpus_texts(lines):
                yield text, part


def _part_and_file(name: str) -> tuple[Part, str]:
    """A source's name split at its prefix; words without one are nouns."""
    for part in PARTS:
        if name.startswith(f"{part}:"):
            return part, name.removeprefix(f"{part}:")
    return "noun", name


@dataclass(frozen=True)
class Corpus:
    """The candidates for negative labels: the words of `sources`, each text once.

    `chosen`: for every word of the sources in order, whether it is a candidate. `counts`: candidates of each part.
    `phrase`: turns an adjective into what stands in its place (CSP); None leaves it as it is.
    """

    sources: Sources
    chosen: np.ndarray
    counts: Mapping[Part, int]
    phrase: Callable[[str], str] | None = None
    words_at_once: int = WORDS_AT_ONCE

    def blocks(self) -> Iterator[Block]:
        """The candidates in order, nouns and adjectives apart. Raises CallerError if the sources have changed."""
        waiting: dict[Part, list[str]] = {part: [] for part in PARTS}
        first = dict.fromkeys(PARTS, 0)
        for text, part in self._candidates():
            waiting[part].append(self.phrase(text) if self.phrase and part == "adjective" else text)
            if len(waiting[part]) == self.words_at_once:
                yield Block(part, first[part], waiting[part])
                first[part], waiting[part] = first[part] + self.words_at_once, []
        yield from (Block(part, first[part], texts) for part, texts in waiting.items() if texts)

    def _candidates(self) -> Iterator[tuple[str, Part]]:
        ended = object()
        for word, chosen in itertools.zip_longest(self.sources.words(), self.chosen, fillvalue=ended):
            if word is ended or chosen is ended:
                raise CallerError(f"--corpus {', '.join(self.sources.names)} has changed while it was read")
            if chosen:
                yield word  # pyright: ignore[reportReturnType]


def survey(sources: Sources, without_nouns: Iterable[str] = (), phrase: Callable[[str], str] | None = None) -> Corpus:
    """Reads the sources once and finds the candidates: the first of equal texts, except nouns in `without_nouns`.

    Texts are equal here if 64 bits of their BLAKE2 hashes are: of 30 million words one is lost with a chance of 2e-5.
    Takes 36 bytes a word for a moment, and 1 byte a word from then on. Raises CallerError if there are no words.
    """
    left_out = frozenset(without_nouns)
    hashes, adjective, allowed = bytearray(), bytearray(), bytearray()
    for text, part in sources.words():
        hashes += blake2b(text.encode(), digest_size=8).digest()
        adjective.append(part == "adjective")
        allowed.append(part == "adjective" or text not in left_out)
    if not allowed:
        raise CallerError(f"--corpus {', '.join(sources.names)} holds no words")
    chosen = first_of_each(np.frombuffer(hashes, np.uint64)) & np.frombuffer(allowed, bool)
    adjectives = int((chosen & np.frombuffer(adjective, bool)).sum())
    return Corpus(sources, chosen, {"noun": int(chosen.sum()) - adjectives, "adjective": adjectives}, phrase)


def first_of_each(values: np.ndarray) -> np.ndarray:
    """For each value whether it is the first of its kind."""
    order = np.argsort(values, kind="stable")
    first = np.ones(len(values), bool)
    first[1:] = values[order[1:]] != values[order[:-1]]
    marks = np.zeros(len(values), bool)
    marks[order[first]] = True
    return marks
