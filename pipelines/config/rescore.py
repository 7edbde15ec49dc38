"""The configuration of `oodscan rescore`."""

from typing import Any

from pydantic import Field

from ood_core.methods import Method, Order
from pipelines.config.base import Configuration, Positive
from pipelines.config.memory import Memory
from pipelines.config.methods import default_methods, method_parameters
from pipelines.config.model import Model
from pipelines.config.nightly import Nightly
from pipelines.config.pools import ScorePool


class ReadEmbeddings(Configuration):
    """How tables of embeddings are read.

    `key_column`, `embedding_column`: None: the first of the usual names. `normalize`: brings every embedding to unit
    length, which otherwise it must have. `rows_per_shard`: the most rows of a shard; a table is cut where its
    row groups end, unless one is larger. `retry_s`: for how long a request to a storage is tried again.
    """

    key_column: str | None = None
    embedding_column: str | None = None
    normalize: bool = False
    rows_per_shard: Positive = 100_000
    retry_s: float = Field(default=120.0, ge=0)


class Rescore(Nightly):
    """Everything `oodscan rescore` needs to know.

    `model`, `text_embeddings`: where the embeddings of texts that are not in the label bank come from, for the methods
    that need some. `reference`: embeddings of images that are known to belong, in tables or in scan directories.
    """

    embeddings: tuple[str, ...] = Field(min_length=1)
    labels: str
    output: str
    reference: tuple[str, ...] = ()
    method: tuple[str, ...] = Field(default_factory=default_methods)
    param: dict[str, Any] = Field(default_factory=dict)
    model: Model = Model()
    text_embeddings: str | None = None
    read: ReadEmbeddings = ReadEmbeddings()
    order: Order | None = None
    memory: Memory = Memory()
    score: ScorePool = ScorePool()
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)
    max_bad_shards: int = Field(default=0, ge=0)

    def methods(self) -> dict[str, Method]:
        """The methods asked for, by name. Raises CallerError."""
        return method_parameters(self.method, self.param, self.order, self.reference)

    @property
    def keeps_embeddings(self) -> bool:
        """Whether every shard must have a table of embeddings beside its scores: no, they are where they were."""
        return False

    def settings(self) -> dict[str, Any]:
        """The settings that the rows depend on, beside methods, bank, model and input, for the scan's identity."""
        return {
            "command": "rescore",
            **self.memory.settings(self.methods()),
            **{f"read.{key}": value for key, value in self.read.model_dump(exclude={"retry_s"}).items()},
        }
