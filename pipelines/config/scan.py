"""The configuration of `oodscan scan`."""

from typing import Any, Literal

from pydantic import Field

from ood_core.methods import Method, Order
from pipelines.config.base import Configuration, Positive
from pipelines.config.image_judges import WithImageJudge
from pipelines.config.memory import Memory
from pipelines.config.methods import default_methods, method_parameters
from pipelines.config.model import Model
from pipelines.config.nightly import Nightly
from pipelines.config.pools import EncodePool


class Read(Configuration):
    """How images are read.

    `image_column`, `key_column`: of Parquet tables; None: the first of the usual names. `images_per_shard`: the
    most images of a shard, for folders, lists and Parquet tables; a table is cut where its row groups end, unless one
    is larger. Images above `max_image_bytes`, `max_image_pixels` or
    `max_jpeg_scans` are not decoded; nor are pages of a Parquet table that would grow above `max_image_bytes` (64 MiB
    at least) and 16 times their size in the file. `max_rows_per_shard`: rows that the footer of a Parquet table may
    claim, or else as many as the file has bits; of one that claims more, no row is read. `max_decode_s`: seconds that
    decoding an image may take; its worker is then replaced, and the image passed over. `decode`: "exact" gives
    OpenCLIP's own pixels, "fast" plain JPEGs and PNGs by torchvision, whose resize differs a little, and large JPEGs
    decoded at a fraction of their size. `retry_s`: for how long a request to a storage is tried again.
    """

    image_column: str | None = None
    key_column: str | None = None
    images_per_shard: Positive = 1000
    max_image_bytes: Positive = 256 * 2**20
    max_image_pixels: Positive = 100_000_000
    max_jpeg_scans: Positive = 64
    max_rows_per_shard: Positive = 1_000_000
    max_decode_s: float = Field(default=60.0, gt=0)
    decode: Literal["fast", "exact"] = "fast"
    retry_s: float = Field(default=120.0, ge=0)


class Scan(Nightly, WithImageJudge):
    """Everything `oodscan scan` needs to know. The fields are the options of the command line, in YAML.

    `reference`: images that are known to belong, tables of their embeddings, or scan directories with some.
    `image_judge`: a model that is asked about a few images once all are scored, and whose verdicts count then.
    """

    input: tuple[str, ...] = Field(min_length=1)
    labels: str
    output: str
    reference: tuple[str, ...] = ()
    method: tuple[str, ...] = Field(default_factory=default_methods)
    param: dict[str, Any] = Field(default_factory=dict)
    model: Model = Model()
    read: Read = Read()
    encode: EncodePool = EncodePool()
    order: Order | None = None
    memory: Memory = Memory()
    embeddings: bool = False
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)
    max_bad_shards: int = Field(default=0, ge=0)

    def methods(self) -> dict[str, Method]:
        """The methods asked for, by name. Raises CallerError."""
        return method_parameters(self.method, self.param, self.order, self.reference)

    @property
    def keeps_embeddings(self) -> bool:
        """Whether every shard must have a table of embeddings beside its scores."""
        return self.embeddings

    def settings(self) -> dict[str, Any]:
        """The settings that the rows depend on, beside methods, bank, model and input, for the scan's identity."""
        return {
            "embeddings": self.embeddings,
            **self.memory.settings(self.methods()),
            **{
                f"read.{key}": value for key, value in self.read.model_dump(exclude={"retry_s", "max_decode_s"}).items()
            },
        }
