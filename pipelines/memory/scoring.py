"""Scoring by methods that learn: against what was learned before, or against a memory while it is being filled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.memory import Offers
from ood_core.memory.gap import RecentVerdicts
from ood_core.methods import ImageMethod, LearningMethod
from pipelines.memory.actor import MemorySpec
from pipelines.memory.client import Actors, MemoryClient
from pipelines.memory.files import Memories
from pipelines.scan_directory.columns import OFFERS, VERSION, offers_type

if TYPE_CHECKING:
    from torch import Tensor

    from ood_core.scores import ImageBatch, ImageScores
    from ood_core.scores.batch import EncodeWords


@dataclass(frozen=True)
class MemoryUse:
    """What a scoring worker has to do with a memory; by default nothing.

    `learned`: what methods have learned already, or where Ray holds it; `version`: of that. `memory`: the one that
    images are offered to for the `learners`; those in streaming order are scored against it as it was at most
    `max_staleness` batches of `batch_size` images ago (None: as many as come at once).
    """

    learned: Memories | Any = None
    version: int | None = None
    memory: MemorySpec | None = None
    learners: Mapping[str, LearningMethod] = field(default_factory=dict)
    max_staleness: int = 0
    batch_size: int | None = None

    def known(self) -> Memories:
        """What is learned already, by method; fetched from Ray if it is there."""
        if self.learned is None or isinstance(self.learned, Mapping):
            return self.learned or {}
        import ray

        return ray.get(self.learned)


class MemoryScorer:
    """Scores images as `ImageScorer` does, and offers them to a memory where one is being filled."""

    def __init__(
        self,
        use: MemoryUse,
        bank: LabelBank,
        methods: Mapping[str, ImageMethod],
        device: str = "cpu",
        encode: "EncodeWords | None" = None,
        actors: Actors | None = None,
    ) -> None:
        from ood_core.scores import ImageScorer

        self.use = use
        self.scorer = ImageScorer(bank, methods, device, encode, use.known())
        self.client = MemoryClient(use.memory, actors) if use.memory else None
        self.learners = {name: chosen.learner(self.scorer.labels) for name, chosen in use.learners.items()}
        self.streaming = use.memory.streaming if use.memory else frozenset()
        self.recent = {name: RecentVerdicts() for name in self.streaming if use.learners[name].adapts}
        self.batches_since_refresh: int | None = None

    def __call__(
        self, embeddings: "Tensor", local: "Tensor | None", keys: Sequence[str]
    ) -> "tuple[ImageScores, dict[str, pa.Array]]":
        """The scores of images, and the columns that stand beside them: `OFFERS` and `VERSION`."""
        from ood_core.scores import ImageScores

        if self.client is None:
            columns = {} if self.use.version is None else {VERSION: _constant(self.use.version, len(keys))}
            return self.scorer(embeddings, local), columns
        size = self.use.batch_size or len(keys) or 1
        parts = []
        for start in range(0, len(keys) or 1, size):
            here = slice(start, start + size)
            parts.append(self._batch(self.client, embeddings[here], None if local is None else local[here], keys[here]))
        columns = {name: pa.concat_arrays([part[name] for _, part in parts]) for name in parts[0][1]}
        return ImageScores.together([scores for scores, _ in parts]), columns

    def nothing(self, embeddings: "Tensor") -> "tuple[ImageScores, dict[str, pa.Array]]":
        """As for no image, without a word to the memory. `embeddings`: of none."""
        columns = {} if self.client is None else {OFFERS: _offers_column({}, 0, self.scorer.labels.dim)}
        versions = self.streaming or self.use.version is not None
        return self.scorer(embeddings), columns | ({VERSION: _constant(0, 0)} if versions else {})

    def _batch(
        self, client: MemoryClient, embeddings: "Tensor", local: "Tensor | None", keys: Sequence[str]
    ) -> "tuple[ImageScores, dict[str, pa.Array]]":
        import torch

        from ood_core.scores.batch import image_batches

        with torch.inference_mode():
            blocks = list(image_batches(embeddings, self.scorer.labels, local))
            self._adapt(blocks)
            offers = client.offer_of({name: self._offers(name, blocks) for name in self.learners}, keys)
            columns = {OFFERS: _offers_column(offers, len(keys), self.scorer.labels.dim)}
            if self.streaming:
                self._refresh(client)
                columns[VERSION] = _constant(client.version, len(keys))
            return self.scorer.scores(blocks), columns

    def _adapt(self, blocks: "list[tuple[ImageBatch, int]]") -> None:
        """Adapts the thresholds of methods in streaming order to this worker's own verdicts."""
        for name, recent in self.recent.items():
            for batch, count in blocks:
                recent.add(self.learners[name].verdicts(batch, count))
            self.learners[name].adapt(recent.positive_fraction)

    def _offers(self, name: str, blocks: "list[tuple[ImageBatch, int]]") -> Offers:
        parts = [self.learners[name].offers(batch, count) for batch, count in blocks]
        return Offers.together(parts, [count for _, count in blocks]) if parts else Offers.none(self.scorer.labels.dim)

    def _refresh(self, client: MemoryClient) -> None:
        """Learns what is new in the memory, once this worker is as many batches behind as it may be."""
        if self.batches_since_refresh is not None:
            self.batches_since_refresh += 1
            if self.batches_since_refresh <= self.use.max_staleness:
                return
        self.batches_since_refresh = 0
        if client.refresh():
            for name in self.streaming:
                self.scorer.learn(name, self.use.learners[name], client.view(name))


def _constant(value: int, count: int) -> pa.Array:
    return pa.array(np.full(count, value, np.int64))


def _offers_column(offers: Mapping[str, Offers], count: int, dim: int) -> pa.Array:
    """The column `OFFERS` of so many images; null for those that are not offered."""
    cells: list[list[dict] | None] = [None] * count
    for name, found in offers.items():
        columns = found.places.tolist(), found.rows.tolist(), found.priorities.tolist(), found.embeddings
        for place, row, priority, embedding in zip(*columns, strict=True):
            cell = {"method": name, "row": row, "priority": priority, "embedding": embedding}
            cells[place] = [*(cells[place] or []), cell]
    return pa.array(cells, offers_type(dim))
