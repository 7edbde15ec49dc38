"""TODO"""

from typing import Any

from pydantic import Field

from ood_core.methods import Order, Parameters
from pipelines.config.base import Positive, Section
from pipelines.config.memory import Memory
from pipelines.config.methods import method_parameters
from pipelines.config.model import Model
from pipelines.config.pools import ScorePool


class ReadEmbeddings(Section):
    """What counts as an embedding. `rows_per_shard` cuts large tables into shards; `normalize` brings every embedding
    to unit length, which else it must have."""

    key_column: str | None = None
    embedding_column: str | None = None
    normalize: bool = False
    rows_per_shard: Positive = 100_000


class Rescore(Section):
    """Everything `oodscan rescore` needs to know. `model` and `text_embeddings`: where the methods that need texts
    beyond the bank's get their embeddings from."""

    embeddings: tuple[str, ...] = Field(min_length=1)
    labels: str
    output: str
    method: tuple[str, ...] = ("neglabel", "mcm")
    param: dict[str, Any] = Field(default_factory=dict)
    model: Model = Model()
    text_embeddings: str | None = None
    read: ReadEmbeddings = ReadEmbeddings()
    order: Order | None = None
    memory: Memory = Memory()
    score: ScorePool = ScorePool()
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)

    def methods(self) -> dict[str, Parameters]:
        return method_parameters(self.method, self.param, self.order)

    def settings(self) -> dict[str, Any]:
        """What the rows depend on, beside methods, bank, model and input."""
        return {
            "command": "rescore",
            **self.memory.settings(self.methods()),
            **{f"read.{key}": value for key, value in self.read.model_dump().items()},
        }
