"""Where a scan runs on a cluster: its model and pools, every number decided, and its first step there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ood_core.methods import ImageMethod
from pipelines.config.pools import ScorePool
from pipelines.inputs.stored_embeddings import EmbeddingSource
from pipelines.memory.keeper import Keeper
from pipelines.memory.scoring import MemoryUse
from pipelines.runtime.model import ModelSpec
from pipelines.scan_directory.run import Run
from pipelines.scans.step import Step
from pipelines.scans.workers.texts import Texts


@dataclass(frozen=True)
class FirstStep:
    """What the first step has to do: score by these methods, commit to `folder`, and offer images to a memory if there
    is a `keeper` of one. `memory`: what its workers are told of it."""

    folder: str
    methods: Mapping[str, ImageMethod]
    memory: MemoryUse
    keeper: Keeper | None


class Placement(Protocol):
    """A scan or rescoring on a cluster. They differ in this, and in nothing else.

    `score_pool`: scores embeddings; `identity`: what of the placement the rows depend on; `lanes`: how many
    threads do each part of the first step's work, by `TIMES`; `embeddings`: where later steps read them; `kept`: the
    type in which the scan keeps them, if so.
    """

    @property
    def device(self) -> str: ...

    @property
    def model(self) -> ModelSpec | None: ...

    @property
    def score_pool(self) -> ScorePool: ...

    @property
    def identity(self) -> Mapping[str, Any]: ...

    @property
    def lanes(self) -> Mapping[str, int]: ...

    @property
    def embeddings(self) -> EmbeddingSource: ...

    @property
    def kept(self) -> str | None: ...

    @property
    def texts(self) -> Texts:
        """Where the embeddings of texts that are not in the label bank come from."""
        ...

    def first_step(self, run: Run, first: FirstStep) -> Step:
        """The step that reads the input."""
        ...

    def reference_steps(self, run: Run) -> list[Step]:
        """The steps that a reference takes before it can vote."""
        ...

    @property
    def reference(self) -> EmbeddingSource:
        """Where the embeddings of the reference are read."""
        ...
