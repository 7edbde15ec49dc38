"""Words: WordNet by lexicographer file, word lists, prompt templates."""

from ood_core.vocabulary.corpus import (
    ADJECTIVE_FILES,
    CSP_FILES,
    DEFAULT_FILES,
    NOUN_FILES,
    WORDNET_FILES,
    wordnet_corpus,
)
from ood_core.vocabulary.prompts import CSP, INTERNEG, MCM, NEGLABEL, Prompts, fill
from ood_core.vocabulary.relations import NounRelations
from ood_core.vocabulary.superclasses import SUPERCLASSES, superclass_phrase
from ood_core.vocabulary.words import Part, Word, corpus_texts, id_labels

__all__ = [
    "ADJECTIVE_FILES",
    "CSP",
    "CSP_FILES",
    "DEFAULT_FILES",
    "INTERNEG",
    "MCM",
    "NEGLABEL",
    "NOUN_FILES",
    "SUPERCLASSES",
    "WORDNET_FILES",
    "NounRelations",
    "Part",
    "Prompts",
    "Word",
    "corpus_texts",
    "fill",
    "id_labels",
    "superclass_phrase",
    "wordnet_corpus",
]
