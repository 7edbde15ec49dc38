import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ood_core.vocabulary import Word, corpus_texts, id_labels


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", []),
        (b"\n \n", []),
        (b"oak\nash\n", ["oak", "ash"]),
        (b"oak\nash", ["oak", "ash"]),
        (b"oak\r\nash\r\n", ["oak", "ash"]),
        (b"\xef\xbb\xbfoak\n", ["oak"]),  # a byte order mark
        (b"  green oak \t\n\n\nash\noak\nash\n", ["green oak", "ash", "oak", "ash"]),
        (b"C#\n#1 dad\n", ["C#", "#1 dad"]),  # no comments
        (b"Oak\noak\n", ["Oak", "oak"]),
        ("café\n".encode(), ["café"]),
    ],
)
def test_a_corpus_file_gives_its_words_in_order(content, texts):
    assert list(corpus_texts(content.split(b"\n"))) == texts
    assert list(corpus_texts(io.BytesIO(content))) == texts


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"dog\ncat", ["dog", "cat"]),
        (b"\xef\xbb\xbfdog\r\n polar bear \r\n", ["dog", "polar bear"]),
        (b"dog\n\n \n", ["dog"]),  # blank lines at the end are no labels
        (b"C\nC#\n# comment\n", ["C", "C#", "# comment"]),
        (b"crane\nCrane\n", ["crane", "Crane"]),
    ],
)
def test_a_label_file_gives_its_labels_in_order(content, labels):
    assert id_labels(content) == labels


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^no labels: the file is empty$"),
        (b"\n\n", r"^no labels: the file is empty$"),
        (b"dog\n\ncat\n", r"^blank where a label should be, on line 2$"),
        (b"\ndog\n \ncat", r"^blank where a label should be, on lines 1, 3$"),
        (b"dog\ncat\ndog \n", r"^labels must differ, found 'dog' on lines 1, 3$"),
        (b"a\nb\na\nb\na", r"^labels must differ, found 'a' on lines 1, 3, 5; 'b' on lines 2, 4$"),
        (b"a\n" * 12, r"'a' on lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more$"),
        (b"dog\ncaf\xe9\n", r"^line 2 is not UTF-8: b'caf\\xe9' \(unexpected end of data\)$"),
    ],
)
def test_a_label_file_that_is_not_one_label_a_line_is_refused_naming_the_lines(content, message):
    with pytest.raises(ValueError, match=message):
        id_labels(content)


def test_a_corpus_file_that_is_not_utf_8_is_refused_naming_the_line():
    with pytest.raises(ValueError, match=r"^line 3 is not UTF-8"):
        list(corpus_texts(b"oak\n\n\xff\xfea\n".split(b"\n")))


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Z", "C")), min_size=1), min_size=1, unique=True))
def test_labels_written_one_a_line_are_read_back(labels):
    assert id_labels("\n".join(labels).encode()) == labels


@pytest.mark.parametrize("text", ["", " ", " oak", "oak\n"])
def test_a_word_must_hold_something_and_no_space_around_it(text):
    with pytest.raises(ValueError, match="must not be empty or begin or end with a space"):
        Word(text, "noun")


def test_a_word_is_a_noun_or_an_adjective():
    with pytest.raises((ValueError, TypeError), match="'verb'"):  # TypeError where shapes and types are enforced
        Word("run", "verb")  # pyright: ignore[reportArgumentType]
