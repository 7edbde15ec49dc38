"""Score images whose methods learn from them: by what was learned before, or while a scan's memory is being filled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.memory import Offers
from ood_core.memory.gap import RecentVerdicts
from ood_core.methods import Parameters
from pipelines.memory.actor import MemorySpec
from pipelines.memory.client import Asked, Memory
from pipelines.memory.files import Memories
from pipelines.scan_directory.columns import OFFERS, VERSION, offers_type

if TYPE_CHECKING:
    from torch import Tensor

    from ood_core.scores import ImageBatch, ImageScores
    from ood_core.scores.batch import EncodeWords


@dataclass(frozen=True)
class Remembering:
    """What a worker has to do with a memory. `learned`: what methods have learned already (or where Ray holds it), of
    `version`. `memory`: what the `learners` offer images to; those in streaming order are scored against it as it was
    at most `max_staleness` batches of `batch_size` ago (None: whatever comes at once)."""

    learned: Memories | Any = None
    version: int | None = None
    memory: MemorySpec | None = None
    learners: Mapping[str, Parameters] = field(default_factory=dict)
    max_staleness: int = 0
    batch_size: int | None = None

    def known(self) -> Memories:
        """What is learned already."""
        if self.learned is None or isinstance(self.learned, Mapping):
            return self.learned or {}
        import ray

        return ray.get(self.learned)


class RememberingScorer:
    """An `ImageScorer` that fills a memory, and columns of the score table that say what it has to do with it."""

    def __init__(
        self,
        spec: Remembering,
        bank: LabelBank,
        methods: Mapping[str, Parameters],
        device: str = "cpu",
        encode: "EncodeWords | None" = None,
        actors: Asked | None = None,
    ) -> None:
        from ood_core.scores import LEARNERS, ImageScorer

        self.spec = spec
        self.scorer = ImageScorer(bank, methods, device, encode, spec.known())
        self.memory = Memory(spec.memory, actors) if spec.memory else None
        self.learners = {name: LEARNERS[name](chosen, self.scorer.labels) for name, chosen in spec.learners.items()}
        self.streaming = spec.memory.streaming if spec.memory else frozenset()
        self.recent = {name: RecentVerdicts() for name in self.streaming if self.learners[name].needs_verdicts}
        self.age: int | None = None

    def __call__(
        self, embeddings: "Tensor", local: "Tensor | None", keys: Sequence[str]
    ) -> "tuple[ImageScores, dict[str, pa.Array]]":
        """Scores of images, and what stands beside them: `OFFERS` and `VERSION`."""
        from ood_core.scores import ImageScores

        if self.memory is None:
            columns = {} if self.spec.version is None else {VERSION: _constant(self.spec.version, len(keys))}
            return self.scorer(embeddings, local), columns
        size = self.spec.batch_size or len(keys) or 1
        parts = []
        for start in range(0, len(keys) or 1, size):
            here = slice(start, start + size)
            parts.append(self._batch(self.memory, embeddings[here], None if local is None else local[here], keys[here]))
        columns = {name: pa.concat_arrays([part[name] for _, part in parts]) for name in parts[0][1]}
        return ImageScores.together([scores for scores, _ in parts]), columns

    def _batch(
        self, memory: Memory, embeddings: "Tensor", local: "Tensor | None", keys: Sequence[str]
    ) -> "tuple[ImageScores, dict[str, pa.Array]]":
        import torch

        from ood_core.scores.batch import image_batches

        with torch.inference_mode():
            blocks = list(image_batches(embeddings, self.scorer.labels, local))
            self._adapt(blocks)
            offers = memory.offer_of({name: self._offers(name, blocks) for name in self.learners}, keys)
            columns = {OFFERS: _offers_column(offers, len(keys), self.scorer.labels.dim)}
            if self.streaming:
                self._refresh(memory)
                columns[VERSION] = _constant(memory.version, len(keys))
            return self.scorer.scores(blocks), columns

    def _adapt(self, blocks: "list[tuple[ImageBatch, int]]") -> None:
        """In streaming order the verdicts are this worker's own."""
        for name, recent in self.recent.items():
            for batch, count in blocks:
                recent.add(self.learners[name].verdicts(batch, count))
            self.learners[name].adapt(recent.positive_fraction)

    def _offers(self, name: str, blocks: "list[tuple[ImageBatch, int]]") -> Offers:
        parts = [self.learners[name].offers(batch, count) for batch, count in blocks]
        return Offers.together(parts, [count for _, count in blocks]) if parts else Offers.none(self.scorer.labels.dim)

    def _refresh(self, memory: Memory) -> None:
        """A worker that is as far behind as it may be waits until it is not."""
        self.age = None if self.age is None else self.age + 1
        if self.age is not None and self.age <= self.spec.max_staleness:
            return
        self.age = 0
        if memory.refresh():
            for name in self.streaming:
                self.scorer.learn(name, self.spec.learners[name], memory.view(name))


def _constant(value: int, count: int) -> pa.Array:
    return pa.array(np.full(count, value, np.int64))


def _offers_column(offers: Mapping[str, Offers], count: int, dim: int) -> pa.Array:
    """Null for images that are not offered."""
    cells: list[list[dict] | None] = [None] * count
    for name, found in offers.items():
        columns = found.places.tolist(), found.rows.tolist(), found.priorities.tolist(), found.embeddings
        for place, row, priority, embedding in zip(*columns, strict=True):
            cell = {"method": name, "row": row, "priority": priority, "embedding": embedding}
            cells[place] = [*(cells[place] or []), cell]
    return pa.array(cells, offers_type(dim))
