"""TODO"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from ood_core.methods import Parameters
from pipelines.config.base import Positive, Section


class Memory(Section):
    """The memory of methods that learn. `uri`: an earlier scan whose memory this one begins with; with `freeze` it
    learns nothing more. `shards`: over how many actors its rows are split. `max_staleness`: of how many batches a
    worker may go without news in streaming order."""

    uri: str | None = None
    freeze: bool = False
    shards: Positive = 1
    max_staleness: int = Field(default=8, ge=0)

    @field_validator("freeze")
    @classmethod
    def _of_something(cls, freeze: bool, info: ValidationInfo) -> bool:
        if freeze and not info.data.get("uri"):
            raise ValueError("there is no memory to freeze; name an earlier scan's (--memory URI)")
        return freeze

    def settings(self, methods: Mapping[str, Parameters]) -> dict[str, Any]:
        """What the rows depend on, of methods that learn."""
        streams = any(getattr(chosen, "order", None) == "streaming" for chosen in methods.values())
        return {"freeze_memory": self.freeze, **({"max_staleness": self.max_staleness} if streams else {})}
