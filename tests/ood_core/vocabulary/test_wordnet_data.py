"""The table in the package against Debian's WordNet 3.0, and NLTK's reading of it."""

import os

import pyarrow.parquet as pq
import pytest

from infra.wordnet import build

SYNSETS = build.PACKAGE_DATA / "synsets.parquet"
SAMPLE = slice(None, None, 97)


@pytest.fixture(scope="module")
def bundled():
    return pq.read_table(SYNSETS)


@pytest.fixture(scope="module")
def debian():
    if not (build.DEBIAN_WORDNET / "index.sense").is_file():
        missing = f"{build.DEBIAN_WORDNET}: apt-get install wordnet-base wordnet-sense-index"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return build.DEBIAN_WORDNET


@pytest.fixture(scope="module")
def reader(debian):
    with build.open_wordnet(debian) as reader:
        yield reader


def synsets_in(data_file):
    """Part of speech and offset of every line, wndb(5WN): `offset lex_filenum ss_type …`, below an indented header."""
    lines = (line.split(maxsplit=3) for line in data_file.read_text().splitlines() if not line.startswith("  "))
    return [(pos, int(offset)) for offset, _, pos, _ in lines]


def test_the_table_has_a_row_for_every_noun_and_adjective_synset(bundled, debian):
    pairs = list(zip(bundled["pos"].to_pylist(), bundled["offset"].to_pylist(), strict=True))
    nouns, adjectives = (synsets_in(debian / f"data.{part}") for part in ("noun", "adj"))
    assert pairs == nouns + adjectives
    assert (len(nouns), len(adjectives)) == (82115, 18156)


def test_sampled_rows_are_what_nltk_reads(bundled, reader):
    for row in bundled.to_pylist()[SAMPLE]:
        synset = reader.synset_from_pos_and_offset(row["pos"], row["offset"])
        assert row["lemmas"] == synset.lemma_names()
        assert row["file"] == synset.lexname()
        # sorted: NLTK holds pointers in sets, whose order changes from run to run
        assert row["hypernyms"] == sorted(parent.offset() for parent in synset.hypernyms())
        assert row["instance_hypernyms"] == sorted(parent.offset() for parent in synset.instance_hypernyms())


def test_sampled_sense_numbers_are_nltks_places_among_the_senses(bundled, reader):
    for row in bundled.to_pylist()[SAMPLE]:
        synset = reader.synset_from_pos_and_offset(row["pos"], row["offset"])
        for lemma, number in zip(row["lemmas"], row["senses"], strict=True):
            exact = lemma.lower()
            senses = [s for s in reader.synsets(exact, synset.pos().replace("s", "a")) if exact in lower_names(s)]
            assert senses[number - 1] == synset


def lower_names(synset):
    return [name.lower() for name in synset.lemma_names()]


def test_the_licence_is_the_header_of_wordnets_files(debian):
    assert (build.PACKAGE_DATA / "LICENSE").read_text() == build.licence(debian)


def test_another_wordnet_is_refused(tmp_path):
    (tmp_path / "data.noun").write_text("  1 WordNet 3.1 Copyright 2011 by Princeton University.\n00001740 03 n\n")
    with pytest.raises(ValueError, match=r"does not hold WordNet 3\.0"):
        build.licence(tmp_path)


def test_the_bundled_licence_carries_the_notice():
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in (build.PACKAGE_DATA / "LICENSE").read_text()


def test_the_same_rows_are_written_as_the_same_bytes(bundled, tmp_path):
    build.write(bundled.slice(0, 10_000), tmp_path / "one.parquet")
    build.write(pq.read_table(tmp_path / "one.parquet"), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_the_data_stays_small():
    assert sum(file.stat().st_size for file in build.PACKAGE_DATA.iterdir()) < 2_000_000
