"""TODO"""

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from pipelines.config.base import Section


class Model(Section):
    """Any OpenCLIP model: a name and a pretrained tag or file, `hf-hub:…`, or `local-dir:…`. None: the label bank's."""

    name: str | None = None
    pretrained: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @field_validator("name")
    @classmethod
    def _absolute(cls, name: str | None) -> str | None:
        """Workers may stand in another directory."""
        if name and name.startswith("local-dir:"):
            return f"local-dir:{Path(name.removeprefix('local-dir:')).absolute()}"
        return name
