"""Ray actors of the learning step: candidates and verdicts from embeddings, images turned into words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import LearningMethod
from ood_core.vectors import vector_column, vectors_of
from pipelines.inputs.plan import Shard
from pipelines.inputs.stored_embeddings import EmbeddingSource
from pipelines.memory.actor import MemorySpec
from pipelines.memory.client import MemoryClient
from pipelines.memory.files import memory_table
from pipelines.runtime.model import ModelSpec
from pipelines.scan_directory.shard_worker import ShardRows

if TYPE_CHECKING:
    from ood_core.scores import ImageBatch, Labels


@dataclass(frozen=True)
class LearnSpec:
    """What a worker needs to learn from embeddings. `learners`: the methods by name."""

    bank: LabelBank
    learners: Mapping[str, LearningMethod]
    embeddings: EmbeddingSource
    device: str = "cpu"
    threads: int = 1


class LearnFromEmbeddings:
    """Turns a shard of embeddings into the candidates that it offers to the memory.

    `positive_fractions`: for the methods that adapt to it, the share of ID among all confident verdicts. `memory`:
    what could not enter it is left out.
    """

    def __init__(
        self, spec: LearnSpec, positive_fractions: Mapping[str, float], memory: MemorySpec | None = None
    ) -> None:
        import torch

        from ood_core.scores import Labels

        torch.set_num_threads(spec.threads)
        self.spec, self.client = spec, MemoryClient(memory) if memory else None
        self.labels = Labels.of(spec.bank, spec.device)
        self.learners = {name: chosen.learner(self.labels) for name, chosen in spec.learners.items()}
        for name, fraction in positive_fractions.items():
            self.learners[name].adapt(fraction)

    def __call__(self, shard: Shard) -> ShardRows:
        """What is committed of a shard."""
        import torch

        with torch.inference_mode():
            return ShardRows(self.result(shard))

    def result(self, shard: Shard) -> pa.Table:
        """The candidates of a shard, in the columns of `memory_table`."""
        offers = self.candidates(shard)
        return pa.concat_tables([memory_table(name, found) for name, found in offers.items()])

    def candidates(self, shard: Shard) -> dict[str, Candidates]:
        """The candidates of a shard, by method."""
        memories = {name: learner.memory() for name, learner in self.learners.items()}
        for batch, keys in _batches(self.spec, shard, self.labels):
            for name, learner in self.learners.items():
                memories[name].offer(learner.offers(batch, len(keys)).named(keys))
        offers = {name: memory.snapshot() for name, memory in memories.items()}
        return offers if self.client is None else self.client.offer(offers)


class CountVerdicts(LearnFromEmbeddings):
    """Turns a shard of embeddings into counts of confident verdicts by method: `positive` ones among `verdicts`."""

    def result(self, shard: Shard) -> pa.Table:
        """The counts of a shard: `method`, `positive`, `verdicts`."""
        counts = {name: np.zeros(2, np.int64) for name in self.learners}
        for batch, keys in _batches(self.spec, shard, self.labels):
            for name, learner in self.learners.items():
                verdicts = learner.verdicts(batch, len(keys))
                counts[name] += [sum(verdicts), len(verdicts)]
        positive, verdicts = np.stack(list(counts.values()), axis=1)
        return pa.table({"method": list(counts), "positive": positive, "verdicts": verdicts})


class InvertImages:
    """Adds to tables of `key` and `embedding` a column `word`: the unit text embedding of what is in the image."""

    def __init__(self, model: ModelSpec, chosen: LearningMethod) -> None:
        self.invert = chosen.inverter(model.load())

    def __call__(self, images: pa.Table) -> pa.Table:
        import torch

        embeddings = torch.from_numpy(vectors_of(images["embedding"]).copy())
        words = self.invert(embeddings, images["key"].to_pylist()).cpu().numpy()
        return images.append_column("word", vector_column(words))


def extra_negatives(bank: LabelBank, chosen: LearningMethod, memory: Candidates, words: pa.Table) -> Candidates:
    """The extra negatives that a method's scorer is given, from its memory and those of its images that are words now.

    `words`: what `InvertImages` makes of them, in any order. Images are known by key and embedding: keys may repeat.
    """
    import torch

    from ood_core.scores import Labels

    found = torch.from_numpy(vectors_of(words["word"]).copy())
    images = (embedding.tobytes() for embedding in vectors_of(words["embedding"]))
    inverted = dict(zip(zip(words["key"].to_pylist(), images, strict=True), found, strict=True))

    def invert(embeddings: "torch.Tensor", keys: Sequence[str]) -> "torch.Tensor":
        images = (embedding.tobytes() for embedding in embeddings.numpy())
        return torch.stack([inverted[image] for image in zip(keys, images, strict=True)])

    return chosen.learner(Labels.of(bank)).conclude(memory, invert)


def _batches(spec: LearnSpec, shard: Shard, labels: "Labels") -> Iterator[tuple["ImageBatch", Sequence[str]]]:
    """A shard's good rows, block by block, with their keys."""
    import torch

    from ood_core.scores.batch import image_batches

    for rows in spec.embeddings.rows(shard):
        ok = np.flatnonzero(rows.statuses == "ok")
        keys, start = [rows.keys[row] or "" for row in ok.tolist()], 0
        for batch, count in image_batches(torch.from_numpy(rows.vectors[ok]), labels):
            yield batch, keys[start : start + count]
            start += count
