"""The configuration of the memory of methods that learn."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from ood_core.methods import Method
from pipelines.config.base import Configuration, Positive


class Memory(Configuration):
    """The memory of methods that learn.

    `uri`: an earlier scan whose memory this one begins with. `freeze`: nothing more is learned. `shards`: how many
    actors its rows are split over. `max_staleness`: how many batches a worker may score with the same view of the
    memory in streaming order.
    """

    uri: str | None = None
    freeze: bool = False
    shards: Positive = 1
    max_staleness: int = Field(default=8, ge=0)

    @field_validator("freeze")
    @classmethod
    def _needs_uri(cls, freeze: bool, info: ValidationInfo) -> bool:
        if freeze and not info.data.get("uri"):
            raise ValueError("there is no memory to freeze; name an earlier scan's (--memory URI)")
        return freeze

    def settings(self, methods: Mapping[str, Method]) -> dict[str, Any]:
        """The settings that the scores of methods that learn depend on, for the scan's identity."""
        streams = any(getattr(chosen, "order", None) == "streaming" for chosen in methods.values())
        return {"freeze_memory": self.freeze, **({"max_staleness": self.max_staleness} if streams else {})}
