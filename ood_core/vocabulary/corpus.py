"""The WordNet corpus: nouns and adjectives by lexicographer file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ood_core.vocabulary.words import Word

if TYPE_CHECKING:
    import pyarrow as pa

SYNSETS = Path(__file__).parent / "wordnet" / "synsets.parquet"

# NegLabel's published lists (METHODS.md §3): every noun file but noun.animal and noun.food.
NOUN_FILES = (
    "noun.Tops",
    "noun.act",
    "noun.artifact",
    "noun.attribute",
    "noun.body",
    "noun.cognition",
    "noun.communication",
    "noun.event",
    "noun.feeling",
    "noun.group",
    "noun.location",
    "noun.motive",
    "noun.object",
    "noun.person",
    "noun.phenomenon",
    "noun.plant",
    "noun.possession",
    "noun.process",
    "noun.quantity",
    "noun.relation",
    "noun.shape",
    "noun.state",
    "noun.substance",
    "noun.time",
)
ADJECTIVE_FILES = ("adj.all", "adj.pert", "adj.ppl")
DEFAULT_FILES = NOUN_FILES + ADJECTIVE_FILES
WORDNET_FILES = (*DEFAULT_FILES, "noun.animal", "noun.food")
# CSP (METHODS.md §4), and debiased mining after it (§6), leave out four more.
CSP_FILES = tuple(
    file for file in DEFAULT_FILES if file not in ("noun.person", "noun.quantity", "noun.group", "adj.pert")
)


def wordnet_corpus(files: Sequence[str] = DEFAULT_FILES, *, synonyms: bool = False) -> list[Word]:
    """Words of WordNet 3.0, file by file as asked for and within a file as WordNet lists them.

    Lower-case, `_` as space; a word in several files belongs to the first of them (METHODS.md §3). Of each synset only
    the first lemma is taken, as in NegLabel's published lists (arXiv 2403.20078; found by comparing them, the paper
    does not say); `synonyms=True` takes all its lemmas. Raises ValueError for a file that WordNet does not have.
    """
    unknown = [file for file in files if file not in WORDNET_FILES]
    if unknown:
        known = ", ".join(sorted(WORDNET_FILES))
        raise ValueError(f"WordNet has no noun or adjective file {unknown[0]!r}; its files are {known}")
    synsets = read_synsets(["file", "lemmas"])
    lemmas_of: dict[str, list[str]] = {file: [] for file in files}
    for file, lemmas in zip(synsets["file"].to_pylist(), synsets["lemmas"].to_pylist(), strict=True):
        if file in lemmas_of:
            lemmas_of[file].extend(lemmas if synonyms else lemmas[:1])
    words: dict[str, Word] = {}
    for file in files:
        for text in map(as_text, lemmas_of[file]):
            words.setdefault(text, Word(text, "noun" if file.startswith("noun.") else "adjective"))
    return list(words.values())


def as_text(lemma: str) -> str:
    """WordNet's spelling of a lemma as a word of the corpus."""
    return lemma.lower().replace("_", " ")


def read_synsets(columns: Sequence[str]) -> "pa.Table":
    """Columns of the bundled WordNet; see `infra/wordnet/build.py` for what they hold."""
    import pyarrow.parquet as pq  # a quarter of a second that `oodscan --help` need not wait for

    return pq.read_table(SYNSETS, columns=list(columns), use_threads=False)
