"""The configuration of the model that encodes images and texts."""

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from pipelines.config.base import Configuration


class Model(Configuration):
    """An OpenCLIP model. `name`: an architecture, `hf-hub:…`, or `local-dir:…`; None: the label bank's model.

    `pretrained`: the architecture's pretrained tag or file of weights. `dtype` auto: bfloat16 on GPUs, and on CPUs that
    compute in it if the embeddings stay as they are; float32 on other CPUs, and for label banks on all. `compile`: the
    image tower by torch.compile; auto: on GPUs, if it compiles. `mixed_processors`: workers may run on several kinds,
    so that a score's last bits depend on where its shard was encoded.
    """

    name: str | None = None
    pretrained: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compile: bool | Literal["auto"] = "auto"
    mixed_processors: bool = False

    @field_validator("name")
    @classmethod
    def _absolute_directory(cls, name: str | None) -> str | None:
        """`local-dir:` with an absolute path, since workers may stand in another directory; other names as they are."""
        if name and name.startswith("local-dir:"):
            return f"local-dir:{Path(name.removeprefix('local-dir:')).absolute()}"
        return name
