"""Write Debian's WordNet 3.0 as the Parquet table that `ood_core.vocabulary` reads.

Nouns and adjectives only, one row per synset, in the order of WordNet's data files. The same WordNet, pyarrow and
options give the same bytes. See README.md beside this file.
"""

import argparse
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nltk
import pyarrow as pa
import pyarrow.parquet as pq
from nltk.corpus.reader.wordnet import WordNetCorpusReader

DEBIAN_WORDNET = Path("/usr/share/wordnet")
PACKAGE_DATA = Path(__file__).parents[2] / "ood_core" / "vocabulary" / "wordnet"

# lexnames(5WN): a synset's lexicographer file is stored as the position in this list.
LEXICOGRAPHER_FILES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition "
    "noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object "
    "noun.person noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape "
    "noun.state noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition "
    "verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession "
    "verb.social verb.stative verb.weather adj.ppl"
)
PART_NUMBER = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
SENSE_KEY_POS = {"1": "n", "3": "a", "5": "s"}

SCHEMA = pa.schema(
    [
        ("pos", pa.dictionary(pa.int8(), pa.string())),  # n noun, a adjective, s satellite adjective
        ("offset", pa.int32()),  # with pos, the synset's id
        ("file", pa.dictionary(pa.int8(), pa.string())),  # lexicographer file
        ("lemmas", pa.list_(pa.string())),  # as WordNet spells and orders them
        ("senses", pa.list_(pa.uint8())),  # each lemma's sense number: 1 is its commonest sense
        ("hypernyms", pa.list_(pa.int32())),  # offsets of nouns: a kind of
        ("instance_hypernyms", pa.list_(pa.int32())),  # offsets of nouns: the one and only, a name
    ],
    metadata={"source": "WordNet 3.0", "license": "WordNet 3.0 Copyright 2006 by Princeton University, see LICENSE"},
)


@contextmanager
def open_wordnet(root: Path) -> Iterator[WordNetCorpusReader]:
    """NLTK's reader over `root`, with the `lexnames` file that it wants and Debian does not ship.

    NLTK reads only below `nltk.data.path`, and its loader looks for `corpora/wordnet` there: hence a copy.
    """
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpora" / "wordnet"
        corpus.mkdir(parents=True)
        for source in root.iterdir():
            if source.is_file():
                shutil.copyfile(source, corpus / source.name)
        (corpus / "lexnames").write_text(lexnames())
        nltk.data.path.append(scratch)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The multilingual functions are not available")
                reader = WordNetCorpusReader(str(corpus), None)
            yield reader
        finally:
            nltk.data.path.remove(scratch)


def lexnames() -> str:
    """The file `lexnames` (lexnames(5WN)): number, name and part of speech of each lexicographer file."""
    names = enumerate(LEXICOGRAPHER_FILES.split())
    return "".join(f"{number:02}\t{name}\t{PART_NUMBER[name.partition('.')[0]]}\n" for number, name in names)


def sense_numbers(root: Path) -> dict[tuple[str, int, str], int]:
    """(pos, offset, lower-case lemma) to sense number, from `index.sense` (senseidx(5WN))."""
    numbers = {}
    for line in (root / "index.sense").read_text().splitlines():
        key, offset, number, _ = line.split()
        lemma, _, sense = key.partition("%")
        pos = SENSE_KEY_POS.get(sense[0])
        if pos:
            numbers[pos, int(offset), lemma] = int(number)
    return numbers


def table(reader: WordNetCorpusReader, numbers: Mapping[tuple[str, int, str], int]) -> pa.Table:
    """One row per noun and adjective synset."""
    synsets = [synset for pos in ("n", "a") for synset in reader.all_synsets(pos)]
    synsets.sort(key=lambda synset: (synset.pos() != "n", synset.offset()))
    return pa.Table.from_pylist([row(synset, numbers) for synset in synsets], schema=SCHEMA)


def row(synset: Any, numbers: Mapping[tuple[str, int, str], int]) -> dict[str, Any]:
    pos, offset, lemmas = synset.pos(), synset.offset(), synset.lemma_names()
    return {
        "pos": pos,
        "offset": offset,
        "file": synset.lexname(),
        "lemmas": lemmas,
        "senses": [numbers[pos, offset, lemma.lower()] for lemma in lemmas],
        # NLTK holds pointers in sets, whose order changes from run to run
        "hypernyms": sorted(parent.offset() for parent in synset.hypernyms()),
        "instance_hypernyms": sorted(parent.offset() for parent in synset.instance_hypernyms()),
    }


def licence(root: Path) -> str:
    """WordNet's licence and notice: the numbered, indented lines that head every one of its data files."""
    with (root / "data.noun").open() as lines:
        header = [line.strip().partition(" ")[2] for line in lines if line.startswith("  ")]
    text = "\n".join(header) + "\n"
    if "WordNet 3.0 Copyright 2006" not in text:
        raise ValueError(f"{root} does not hold WordNet 3.0: its data.noun is headed {text[:200]!r}")
    return text


def write(synsets: pa.Table, path: Path) -> None:
    pq.write_table(synsets, path, compression="zstd", compression_level=19, row_group_size=len(synsets))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, default=DEBIAN_WORDNET, help="directory of WordNet 3.0's dict files")
    parser.add_argument("--output", type=Path, default=PACKAGE_DATA, help="directory to write")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "LICENSE").write_text(licence(arguments.wordnet))
    with open_wordnet(arguments.wordnet) as reader:
        synsets = table(reader, sense_numbers(arguments.wordnet))
    target = arguments.output / "synsets.parquet"
    write(synsets, target)
    print(f"{target}: {len(synsets)} synsets, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
