"""Prompt templates: what is said of a word before the text encoder sees it. Data, taken from METHODS.md."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Prompts:
    """A method's templates for ID labels, negative nouns and negative adjectives, each with exactly one `{}`.

    Of several templates (an ensemble) the embeddings are averaged before they are normalised.
    """

    name: str
    id: tuple[str, ...]
    noun: tuple[str, ...]
    adjective: tuple[str, ...]

    def __post_init__(self) -> None:
        for role, templates in (("id", self.id), ("noun", self.noun), ("adjective", self.adjective)):
            if not templates:
                raise ValueError(f"{self.name} prompts have no template for {role}")
            for template in templates:
                if template.count("{}") != 1 or template.count("{") != 1 or template.count("}") != 1:
                    raise ValueError(f"a template must hold {{}} exactly once, not {template!r}")


def fill(templates: Sequence[str], word: str) -> list[str]:
    """The texts to encode for a word, one for each template."""
    return [template.replace("{}", word) for template in templates]


_MCM = ("a photo of a {}",)
_NEGLABEL_NOUN = ("the nice {}",)
_CSP_NOUN = (
    "a close-up photo of the nice {}.",
    "a photo with the nice {}.",
    "a good photo with the nice {}.",
    "a photo of the nice {}.",
    "{}",
    "the {}",
    "the good {}",
    "the nice {}",
)
_INTERNEG_NOUN = ("The nice {}.",)

MCM = Prompts("mcm", id=_MCM, noun=_MCM, adjective=_MCM)
"""§1 (arXiv 2211.13445). MCM has no negatives; a bank may."""

NEGLABEL = Prompts("neglabel", id=_NEGLABEL_NOUN, noun=_NEGLABEL_NOUN, adjective=("This is a {} photo",))
"""§3 (arXiv 2403.20078); debiased mining (§6) uses the same."""

CSP = Prompts(
    "csp",
    id=_CSP_NOUN,
    noun=_CSP_NOUN,
    adjective=("{}", "a nice photo of {}", "a good photo of {}", "a close-up photo of {}"),
)
"""§4 (arXiv 2410.08611), and NegRefine (§5) after it. What fills an adjective's place is a superclass phrase."""

INTERNEG = Prompts("interneg", id=_INTERNEG_NOUN, noun=_INTERNEG_NOUN, adjective=("This is a {} photo.",))
"""§8 (arXiv 2603.02618); TANL (§11) uses the same."""
