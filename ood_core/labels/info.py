"""The description of a label bank, `bank.json`. Free of torch."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

INFO_FILE = "bank.json"


@dataclass(frozen=True)
class BankInfo:
    """The contents of `bank.json`.

    A bank without that file has these defaults: τ = 0.01, negatives in seed 0's order.
    """

    model: str | None = None
    pretrained: str | None = None
    weights: str | None = None
    prompts: dict[str, Any] = field(default_factory=dict)
    temperature: float = 0.01
    permutation: Literal["none"] | list[int] | None = None
    permutation_seed: int = 0
    corpus: dict[str, Any] = field(default_factory=dict)
    criterion: dict[str, Any] = field(default_factory=dict)
    judge: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    content_hash: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be above 0, not {self.temperature}")
        if self.permutation_seed < 0:
            raise ValueError(f"permutation_seed must be 0 or above, not {self.permutation_seed}")

    @property
    def holds_whole_corpus(self) -> bool:
        """Whether the negatives are a whole corpus, of which no criterion selected some.

        They are where the criterion is "none", or where what is recorded of it says that it kept everything: its counts
        of candidates and of those kept, or else its fractions. Where nothing is known of a criterion, as of a bank by
        others, the bank is taken for whole: its owner knows. What a judge removed afterwards does not matter here.
        """
        if not self.criterion or self.criterion.get("name") == "none":
            return True
        kept_of = {name: name.replace("candidates", "kept") for name in self.counts if name.startswith("candidates")}
        if kept_of:
            return all(self.counts[name] == self.counts.get(kept) for name, kept in kept_of.items())
        fraction = self.criterion.get("fraction")
        return fraction == 1 and self.criterion.get("adjective_fraction", fraction) == 1

    def order_of(self, negatives: int) -> np.ndarray:
        """The order in which so many negatives fall into groups: their indices, each once."""
        if self.permutation == "none":
            return np.arange(negatives)
        if isinstance(self.permutation, list):
            listed = np.array(self.permutation, dtype=np.int64)
            return np.concatenate([listed, np.arange(len(listed), negatives)])
        return np.random.default_rng(self.permutation_seed).permutation(negatives)


def check_permutation(permutation: list[int], negatives: int) -> None:
    """A recorded permutation lists each of the first n negatives once, n being all of them or fewer by a remainder."""
    if len(permutation) > negatives or sorted(permutation) != list(range(len(permutation))):
        raise ValueError(
            f"permutation must list the numbers 0 to n - 1 once each, n at most {negatives} (the negatives)"
        )


def read_info(content: bytes) -> BankInfo:
    """Parses `bank.json`. Raises ValueError that says what is wrong with it."""
    try:
        return TypeAdapter(BankInfo).validate_json(content)
    except ValidationError as error:
        problems = [": ".join([*map(str, problem["loc"]), problem["msg"]]) for problem in error.errors()]
        raise ValueError(f"{INFO_FILE} is not a valid description of a bank: {'; '.join(problems)}") from error
