"""The criteria that choose among candidates: names, parameters, defaults. Free of torch and pyarrow, as `methods`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import ClassVar

from ood_core.vocabulary import CSP, CSP_FILES, DEFAULT_FILES, INTERNEG, NEGLABEL, Prompts


@dataclass(frozen=True)
class NegMining:
    """NegLabel's criterion: the `quantile` (η) of a candidate's cosines to the ID labels (METHODS.md §3).

    Of each part the lowest `fraction` is kept; of adjectives `adjective_fraction`, if it is given.
    """

    prompts: ClassVar[Prompts] = NEGLABEL
    wordnet_files: ClassVar[tuple[str, ...]] = DEFAULT_FILES
    quantile: float = 0.95
    fraction: float = 0.15
    adjective_fraction: float | None = None


@dataclass(frozen=True)
class ConjugatedPool:
    """CSP's criterion: the largest cosine to an ID label, over nouns and superclass phrases (METHODS.md §4).

    `phrase_seed` draws each adjective's noun.
    """

    prompts: ClassVar[Prompts] = CSP
    wordnet_files: ClassVar[tuple[str, ...]] = CSP_FILES
    fraction: float = 0.15
    adjective_fraction: float | None = None
    phrase_seed: int = 0


@dataclass(frozen=True)
class Density:
    """Debiased mining's criterion: the mean log distance to the nearest candidates of the same part (METHODS.md §6).

    The defaults are those published for ViT-B/16 and ViT-L/14.
    """

    prompts: ClassVar[Prompts] = NEGLABEL
    wordnet_files: ClassVar[tuple[str, ...]] = CSP_FILES
    fraction: float = 0.23
    adjective_fraction: float | None = 0.13
    neighbours: int = 100


@dataclass(frozen=True)
class Intermodal:
    """InterNeg's criterion: the margins to the mean image of each class (METHODS.md §8); `negatives` are kept in all.

    At most `images_per_label` images stand for a class.
    """

    prompts: ClassVar[Prompts] = INTERNEG
    wordnet_files: ClassVar[tuple[str, ...]] = DEFAULT_FILES
    negatives: int = 2000
    images_per_label: int = 16


@dataclass(frozen=True)
class WholeCorpus:
    """No criterion: every candidate is kept, in the corpus's order and without a selection score.

    TANL needs it so (METHODS.md §11): NegLabel's word lists before any selection, under prompts like InterNeg's. As
    under NegLabel's criterion, a word of the corpus that is an ID label too is a candidate, and so is kept.
    """

    prompts: ClassVar[Prompts] = INTERNEG
    wordnet_files: ClassVar[tuple[str, ...]] = DEFAULT_FILES


Criterion = NegMining | ConjugatedPool | Density | Intermodal | WholeCorpus
CRITERIA: Mapping[str, type[Criterion]] = MappingProxyType(
    {"neglabel": NegMining, "csp": ConjugatedPool, "density": Density, "interneg": Intermodal, "none": WholeCorpus}
)


def parameters_of(name: str) -> tuple[str, ...]:
    """The names of a criterion's parameters."""
    return tuple(field.name for field in fields(CRITERIA[name]))


def kept_fraction(criterion: NegMining | ConjugatedPool | Density, part: str) -> float:
    """The share of a part's candidates that is kept."""
    if part == "adjective" and criterion.adjective_fraction is not None:
        return criterion.adjective_fraction
    return criterion.fraction
