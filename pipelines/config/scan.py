"""A scan's configuration: frozen, checked where it enters, from YAML and the command line."""

from typing import Any

from pydantic import Field

from ood_core.methods import Order, Parameters
from pipelines.config.base import Positive, Section
from pipelines.config.memory import Memory
from pipelines.config.methods import method_parameters
from pipelines.config.model import Model
from pipelines.config.pools import EncodePool, Pool


class Read(Section):
    """What counts as a record. `images_per_shard` cuts folders and lists of images into shards."""

    image_column: str | None = None
    key_column: str | None = None
    images_per_shard: Positive = 1000
    max_image_bytes: Positive = 256 * 2**20
    max_image_pixels: Positive = 100_000_000


class Scan(Section):
    """Everything `oodscan scan` needs to know. The fields are the options of the command line, in YAML."""

    input: tuple[str, ...] = Field(min_length=1)
    labels: str
    output: str
    method: tuple[str, ...] = ("neglabel", "mcm")
    param: dict[str, Any] = Field(default_factory=dict)
    model: Model = Model()
    read: Read = Read()
    decode: Pool = Pool()
    encode: EncodePool = EncodePool()
    order: Order | None = None
    memory: Memory = Memory()
    embeddings: bool = False
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)

    def methods(self) -> dict[str, Parameters]:
        return method_parameters(self.method, self.param, self.order)

    def settings(self) -> dict[str, Any]:
        """What the rows depend on, beside methods, bank, model and input."""
        return {
            "embeddings": self.embeddings,
            **self.memory.settings(self.methods()),
            **{f"read.{key}": value for key, value in self.read.model_dump().items()},
        }
