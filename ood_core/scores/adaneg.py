"""AdaNeg: proxies that adapt to the images seen (NeurIPS 2024, arXiv 2410.20149; METHODS.md §7)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ood_core.memory import Candidates, MemoryBank
from ood_core.memory.gap import RecentVerdicts, Thresholds
from ood_core.memory.proxies import Remembered, SampleProxies, task_proxies
from ood_core.memory.rows import adaneg_capacities
from ood_core.methods import AdaNeg
from ood_core.numerics import BLOCK, Columns, blocks
from ood_core.scores.batch import ImageBatch, Labels, Similarities

ENTROPIES_AT_ONCE = 8


def entropies(terms: Float[Tensor, "images labels"]) -> Float64[Tensor, " images"]:
    """Entropy of the softmax over labels, given its terms e^(logit - max), as the authors compute it; in nats."""
    parts = [terms.new_empty(0)]
    for block, count in blocks(terms, ENTROPIES_AT_ONCE):
        probabilities = block / block.sum(dim=1, keepdim=True)
        parts.append(-(probabilities * (probabilities + 1e-8).log()).sum(dim=1)[:count])
    return torch.cat(parts).double()


class AdaNegScorer:
    """The score against a given memory (`learned`); without one, every proxy is its label's text."""

    def __init__(self, parameters: AdaNeg, labels: Labels, learned: Candidates | None = None) -> None:
        self.groups = labels.groups(parameters.groups)
        self.parameters, self.static_weight = parameters, parameters.weight_of_static
        self.remembered = Remembered.of(
            learned or Candidates.none(labels.dim), labels.embeddings[labels.indices.argsort()]
        )
        self.places = labels.places(self.remembered.labels)
        if parameters.proxies == "task":
            self.proxies = Columns.of(task_proxies(self.remembered))
        else:
            self.samples = SampleProxies.of(self.remembered)

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        cosines = batch.cosines.clone()
        cosines[:, self.places] = self._proxy_cosines(batch.embeddings)
        adapted = Similarities(cosines, batch.id_count, batch.temperature)
        mass = adapted.negative_mass(self.groups) + self.static_weight * batch.negative_mass(self.groups)
        return 1.0 + self.static_weight - mass

    def _proxy_cosines(self, images: Float[Tensor, "images dim"]) -> Float[Tensor, "images rows"]:
        if self.parameters.proxies == "task":
            return self.proxies.products(images)
        return self.samples.cosines(images, self.parameters.beta)


class AdaNegLearner:
    """Which images join the memory: those whose static score is confident, in the row of their nearest label."""

    def __init__(self, parameters: AdaNeg, labels: Labels) -> None:
        self.groups = labels.groups(parameters.groups)
        self.parameters = parameters
        self.labels = labels
        self.fixed = Thresholds.fixed(parameters.threshold, parameters.gap)
        self.thresholds = self.fixed
        self.needs_verdicts = parameters.adaptive_gap

    def memory(self) -> MemoryBank:
        """An empty one: a row a label, in the bank's order."""
        return MemoryBank(adaneg_capacities(self.parameters, len(self.labels.embeddings)), self.labels.dim)

    def verdicts(self, batch: ImageBatch, count: int) -> list[bool]:
        """The confident ones of the first `count` images, true for ID."""
        scores = (1.0 - batch.negative_mass(self.groups))[:count].tolist()
        return [s > self.fixed.positive for s in scores if s > self.fixed.positive or s < self.fixed.negative]

    def adapt(self, positive_fraction: float) -> None:
        """Sets the thresholds by the share of ID among the confident verdicts."""
        if self.parameters.adaptive_gap:
            self.thresholds = Thresholds.adapted(self.parameters.threshold, self.parameters.gap, positive_fraction)

    def candidates(self, batch: ImageBatch, keys: Sequence[str]) -> Candidates:
        """Of the block's first images, as many as there are keys."""
        scores = (1.0 - batch.negative_mass(self.groups))[: len(keys)]
        positive = (scores > self.thresholds.positive).nonzero()[:, 0]
        negative = (scores < self.thresholds.negative).nonzero()[:, 0]
        priorities = [
            entropies(batch.id_exponentials.terms[positive]),
            entropies(batch.negative_exponentials.terms[negative]),
        ]
        places = torch.cat([batch.id_label[positive], batch.nearest_negative[negative]])
        chosen = torch.cat([positive, negative])
        return Candidates(
            rows=self.labels.indices[places].cpu().numpy(),
            priorities=torch.cat(priorities).cpu().numpy(),
            keys=[keys[index] for index in map(int, chosen)],
            embeddings=batch.embeddings[chosen].cpu().numpy(),
        )


class SequentialAdaNeg:
    """The authors' own order: batch by batch, the memory learns from a batch and then scores it."""

    def __init__(self, parameters: AdaNeg, labels: Labels) -> None:
        self.parameters, self.labels = parameters, labels
        self.learner = AdaNegLearner(parameters, labels)
        self.memory = self.learner.memory()
        self.recent = RecentVerdicts()

    def __call__(self, embeddings: Float[Tensor, "images dim"], keys: Sequence[str]) -> Float64[Tensor, " images"]:
        batches = [(ImageBatch.of(block, self.labels), count) for block, count in blocks(embeddings, BLOCK)]
        for batch, count in batches:
            self.recent.add(self.learner.verdicts(batch, count))
        self.learner.adapt(self.recent.positive_fraction)
        for number, (batch, count) in enumerate(batches):
            self.memory.offer(self.learner.candidates(batch, keys[number * BLOCK :][:count]))
        scorer = AdaNegScorer(self.parameters, self.labels, self.memory.snapshot())
        return torch.cat([scorer(batch)[:count] for batch, count in batches])
