"""Learn from stored embeddings: what each shard offers the memory of the methods that learn. Ray actors."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ood_core.memory import Candidates
from ood_core.methods import InterNeg
from pipelines.inputs.plan import Shard, shards_of
from pipelines.memory.actor import MemorySpec
from pipelines.memory.client import Memory
from pipelines.memory.files import memory_table
from pipelines.runtime.model import ModelSpec
from pipelines.scan_directory.columns import with_end
from pipelines.scans.workers.score_embeddings import Rescoring

if TYPE_CHECKING:
    from ood_core.scores import ImageBatch, Labels


class LearnFromEmbeddings:
    """Shards of embeddings to what they offer the memory of each method that learns; one table a shard.

    `shares`: of the methods that adapt to it, the share of ID among all confident verdicts. `memory`: held back is what
    cannot enter it.
    """

    def __init__(self, spec: Rescoring, shares: Mapping[str, float], memory: MemorySpec | None = None) -> None:
        from ood_core.scores import LEARNERS, Labels

        spec.start()
        self.spec, self.memory = spec, Memory(memory) if memory else None
        self.labels = Labels.of(spec.bank, spec.device)
        self.learners = {name: LEARNERS[name](parameters, self.labels) for name, parameters in spec.methods.items()}
        for name, share in shares.items():
            self.learners[name].adapt(share)

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        import torch

        for shard in shards_of(shards):
            with torch.inference_mode():
                yield self.candidates(shard)

    def candidates(self, shard: Shard) -> pa.Table:
        memories = {name: learner.memory() for name, learner in self.learners.items()}
        for batch, keys in batches(self.spec, shard, self.labels):
            for name, learner in self.learners.items():
                memories[name].offer(learner.offers(batch, len(keys)).named(keys))
        offers = {name: memory.snapshot() for name, memory in memories.items()}
        if self.memory is not None:
            offers = self.memory.offer(offers)
        return _of_shard(shard, pa.concat_tables([memory_table(name, found) for name, found in offers.items()]))


class CountVerdicts(LearnFromEmbeddings):
    """Shards of embeddings to the numbers of confident verdicts, by method: `positive` of `verdicts`."""

    def candidates(self, shard: Shard) -> pa.Table:
        counts = {name: np.zeros(2, np.int64) for name in self.learners}
        for batch, keys in batches(self.spec, shard, self.labels):
            for name, learner in self.learners.items():
                verdicts = learner.verdicts(batch, len(keys))
                counts[name] += [sum(verdicts), len(verdicts)]
        positive, verdicts = np.stack(list(counts.values()), axis=1)
        return _of_shard(shard, pa.table({"method": list(counts), "positive": positive, "verdicts": verdicts}))


def _of_shard(shard: Shard, table: pa.Table) -> pa.Table:
    """The table as the committer wants it: numbered rows, and the shard's end row."""
    count = len(table)
    columns = {"shard": pa.array([shard.id] * count, pa.string()), "index": pa.array(np.arange(count), pa.int64())}
    for name, values in columns.items():
        table = table.append_column(name, values)
    return with_end(table.append_column("status", pa.array(["ok"] * count, pa.string())), shard.id, count)


def batches(spec: Rescoring, shard: Shard, labels: "Labels") -> Iterator[tuple["ImageBatch", Sequence[str]]]:
    """A shard's good rows, block by block."""
    import torch

    from ood_core.scores.batch import image_batches

    for rows in spec.rows(shard):
        ok = np.flatnonzero(rows.statuses == "ok")
        keys, start = [rows.keys[row] or "" for row in ok.tolist()], 0
        for batch, count in image_batches(torch.from_numpy(rows.vectors[ok]), labels):
            yield batch, keys[start : start + count]
            start += count


class InvertImages:
    """Tables of `key` and `embedding` to tables of the unit text embeddings that say what is in each image."""

    def __init__(self, model: ModelSpec, steps: int, learning_rate: float) -> None:
        from ood_core.memory.inversion import Inverter

        self.invert = Inverter(model.load(), steps, learning_rate)

    def __call__(self, images: pa.Table) -> pa.Table:
        import torch

        values = images["embedding"].combine_chunks().flatten().to_numpy().reshape(len(images), -1)
        found = self.invert(torch.from_numpy(values.copy()), images["key"].to_pylist()).cpu().numpy()
        words = pa.FixedSizeListArray.from_arrays(pa.array(found.reshape(-1)), found.shape[1])
        return pa.table({"key": images["key"], "embedding": words})


def extra_negatives(spec: Rescoring, parameters: InterNeg, memory: Candidates, words: pa.Table) -> Candidates:
    """InterNeg's extra negatives, of the inverted images in `words` (`key`, `embedding`)."""
    import torch

    from ood_core.scores.batch import Labels
    from ood_core.scores.interneg import InterNegLearner

    learner = InterNegLearner(parameters, Labels.of(spec.bank))
    values = words["embedding"].combine_chunks().flatten().to_numpy().reshape(len(words), spec.bank.dim)
    inverted = dict(zip(words["key"].to_pylist(), torch.from_numpy(values.copy()), strict=True))
    return learner.extra_negatives(memory, lambda _, keys: torch.stack([inverted[key] for key in keys]))
