"""The corpus as a stream: what becomes a candidate, and in which order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ood_core.vocabulary import DEFAULT_FILES, superclass_phrase, wordnet_corpus
from pipelines.errors import CallerError
from pipelines.label_banks.corpus import Block, Corpus, Sources, first_of_each, survey
from tests.conftest import Storage


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "trees.txt").write_text("oak\nash\noak\nlight\n")
    (tmp_path / "more.txt").write_text("\ufeffelm\n\nash\nbirch")
    (tmp_path / "how.txt").write_text("green\nlight\nold\ngreen\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def surveyed(*names: str, **arguments) -> Corpus:
    return survey(Sources(names, DEFAULT_FILES), **arguments)


def words(corpus: Corpus) -> list[tuple[str, int, str]]:
    return [(part, first + at, text) for part, first, texts in corpus.blocks() for at, text in enumerate(texts)]


def test_of_equal_words_the_first_is_a_candidate(place: Path) -> None:
    corpus = surveyed("trees.txt", "adjective:how.txt", "noun:more.txt")
    assert corpus.counts == {"noun": 5, "adjective": 2}
    assert list(corpus.blocks()) == [
        Block("noun", 0, ["oak", "ash", "light", "elm", "birch"]),
        Block("adjective", 0, ["green", "old"]),
    ]
    assert surveyed("adjective:how.txt", "trees.txt").counts == {"noun": 2, "adjective": 3}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_blocks_of_any_size_hold_the_same_candidates(place: Path, size: int) -> None:
    corpus = surveyed("trees.txt", "adjective:how.txt", "more.txt")
    blocks = list(replace(corpus, words_at_once=size).blocks())
    assert sorted(words(replace(corpus, words_at_once=size))) == sorted(words(corpus))
    assert max(len(block.texts) for block in blocks) <= size


@pytest.mark.parametrize("files", [DEFAULT_FILES, ("adj.all", "noun.attribute")])
def test_wordnet_is_the_corpus_that_it_is_without_streaming(files: tuple[str, ...]) -> None:
    corpus = survey(Sources(["wordnet"], files))
    blocks, expected = list(corpus.blocks()), wordnet_corpus(files)
    for part in ("noun", "adjective"):
        found = [text for block in blocks if block.part == part for text in block.texts]
        assert found == [word.text for word in expected if word.part == part]
        assert corpus.counts[part] == len(found)


def test_nouns_that_are_id_labels_are_left_out_and_adjectives_become_phrases(place: Path) -> None:
    corpus = surveyed(
        "trees.txt", "adjective:how.txt", without_nouns=["ash", "green", "light"], phrase=superclass_phrase
    )
    assert list(corpus.blocks()) == [
        Block("noun", 0, ["oak"]),
        Block("adjective", 0, [superclass_phrase("green"), superclass_phrase("old")]),
    ]
    assert corpus.counts == {"noun": 1, "adjective": 2}


@given(st.lists(st.integers(0, 5), max_size=30))
def test_the_first_of_each_is_marked(values: list[int]) -> None:
    marks = first_of_each(np.array(values, np.uint64))
    assert [value for value, mark in zip(values, marks, strict=True) if mark] == list(dict.fromkeys(values))


def test_many_words_take_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    with (tmp_path / "many.txt").open("w") as file:
        for number in range(200_000):
            file.write(f"a word of number {number % 140_000}\n")
    tracemalloc.start()
    corpus = surveyed(str(tmp_path / "many.txt"))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert corpus.counts == {"noun": 140_000, "adjective": 0}
    assert held < 0.4e6
    assert peak < 16e6  # 8 MiB of it are what is read at once


def test_words_stream_from_any_storage(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\n".join(f"word {number}" for number in range(5000)))
    url = storage.upload(tmp_path / "words.txt", "uploaded.txt")
    corpus = survey(Sources([f"adjective:{url}"], (), storage.options))
    assert [len(block.texts) for block in corpus.blocks()] == [4096, 904]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["gone.txt"], "--corpus 'gone.txt' cannot be read: it does not exist"),
        (["adjective:gone.txt"], "--corpus 'gone.txt' cannot be read: it does not exist"),
        (["."], "--corpus '.' cannot be read: it is not a file"),
        (["bytes.txt"], "--corpus 'bytes.txt': line 2 is not UTF-8"),
        (["empty.txt", "empty.txt"], "--corpus empty.txt, empty.txt holds no words"),
    ],
)
def test_what_cannot_be_read_is_named(place: Path, names: list[str], said: str) -> None:
    (place / "bytes.txt").write_bytes(b"oak\n\xff\n")
    (place / "empty.txt").write_text("\n")
    with pytest.raises(CallerError) as refused:
        surveyed(*names)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("now", ["oak\n", "oak\nash\noak\nlight\nelm\n"])
def test_a_corpus_that_changes_meanwhile_is_noticed(place: Path, now: str) -> None:
    corpus = surveyed("trees.txt")
    (place / "trees.txt").write_text(now)
    with pytest.raises(CallerError, match=r"--corpus trees\.txt has changed while it was read"):
        list(corpus.blocks())
