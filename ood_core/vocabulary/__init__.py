"""Words: WordNet by lexicographer file, word lists, prompt templates."""

from ood_core.vocabulary.corpus import (
    ADJECTIVE_FILES,
    CSP_FILES,
    DEFAULT_FILES,
    NOUN_FILES,
    WORDNET_FILES,
    wordnet_corpus,
)
from ood_core.vocabulary.prompts import CSP, INTERNEG, MCM, NEGLABEL, PROMPTS, Prompts, fill
from ood_core.vocabulary.relations import NounRelations
from ood_core.vocabulary.words import Part, Word, corpus_words, id_labels

__all__ = [
    "ADJECTIVE_FILES",
    "CSP",
    "CSP_FILES",
    "DEFAULT_FILES",
    "INTERNEG",
    "MCM",
    "NEGLABEL",
    "NOUN_FILES",
    "PROMPTS",
    "WORDNET_FILES",
    "NounRelations",
    "Part",
    "Prompts",
    "Word",
    "corpus_words",
    "fill",
    "id_labels",
    "wordnet_corpus",
]
