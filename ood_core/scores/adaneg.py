"""AdaNeg: proxies that adapt to the images seen (NeurIPS 2024, arXiv 2410.20149; METHODS.md §7)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from ood_core.memory import Candidates, MemoryBank, Offers
from ood_core.memory.gap import RecentVerdicts, Thresholds
from ood_core.memory.proxies import Remembered, SampleProxies, task_proxies
from ood_core.numerics import BLOCK, Columns, Exponentials, Groups, blocks, grouped_negative_mass, log_sum
from ood_core.scores.batch import ImageBatch, Labels, image_batches
from ood_core.scores.scorer import Invert, Scorer

ENTROPIES_AT_ONCE = 8


def entropies(terms: Float[Tensor, "images labels"]) -> Float64[Tensor, " images"]:
    """Entropy of the softmax over labels, given its terms e^(logit - max), as the authors compute it; in nats."""
    parts = [terms.new_empty(0)]
    for block, count in blocks(terms, ENTROPIES_AT_ONCE):
        probabilities = block / block.sum(dim=1, keepdim=True)
        parts.append(-(probabilities * (probabilities + 1e-8).log()).sum(dim=1)[:count])
    return torch.cat(parts).double()


class AdaNegScorer:
    """Scores images by AdaNeg against a given memory (`learned`); without one, every proxy is its label's text.

    Only rows that hold images have proxies of their own, so only their terms are taken out of the sums of the static
    score, and others put in. `static_weight` is λ. `beta`: how sharply an image picks among the images of a row; None:
    a row has one proxy for all images.
    """

    def __init__(
        self, labels: Labels, learned: Candidates | None, groups: int, static_weight: float, beta: float | None
    ) -> None:
        self.groups, self.static_weight, self.beta = labels.groups(groups), static_weight, beta
        self.temperature, ids = labels.temperature, labels.id_count
        memory = learned or Candidates.none(labels.dim)
        self.remembered = Remembered.of(memory, labels.embeddings[labels.indices.argsort()])
        places = labels.places(self.remembered.labels)
        kept = labels.embeddings.new_ones(len(labels.embeddings)).index_fill(0, places, 0.0)
        self.kept_id, self.kept_negative = kept[:ids], kept[ids:]
        self.members = Columns(_members(places, ids, self.groups, labels))
        if beta is None:
            self.proxies = Columns(task_proxies(self.remembered))
        else:
            self.samples = SampleProxies.of(self.remembered)

    def __call__(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        static = batch.negative_mass(self.groups)
        adapted = self._adapted_mass(batch) if len(self.remembered.labels) else static
        return 1.0 + self.static_weight - (adapted + self.static_weight * static)

    def _adapted_mass(self, batch: ImageBatch) -> Float64[Tensor, " images"]:
        cosines = self._proxy_cosines(batch.embeddings)
        proxies = Exponentials.of(cosines, self.temperature)
        changed = self.members.products(proxies.terms).double().log() + proxies.maximum[:, None]
        of_id = batch.id_exponentials.but(self.kept_id).log_mass()
        of_groups = batch.negative_exponentials.but(self.kept_negative).group_log_masses(self.groups)
        return grouped_negative_mass(log_sum(of_id, changed[:, 0]), log_sum(of_groups, changed[:, 1:]))

    def _proxy_cosines(self, images: Float[Tensor, "images dim"]) -> Float[Tensor, "images rows"]:
        if self.beta is None:
            return self.proxies.products(images)
        return self.samples.cosines(images, self.beta)


def _members(
    places: Int[Tensor, " rows"], ids: int, groups: Groups, labels: Labels
) -> Float[Tensor, "groups_and_id rows"]:
    """1 where a row's label is an ID label (first) or in a group (the others); a negative may be in none."""
    columns = groups.columns if groups.columns is not None else torch.arange(groups.count * groups.per_group)
    group_of = torch.full((len(labels.embeddings),), -1, device=labels.device)
    group_of[:ids] = 0
    group_of[ids + columns.to(labels.device)] = 1 + torch.arange(len(columns), device=labels.device) // groups.per_group
    return (group_of[places] == torch.arange(1 + groups.count, device=labels.device)[:, None]).float()


class AdaNegLearner:
    """Which images join the memory: those whose static score is confident, in the row of their nearest label.

    Each label's row keeps `images_per_label` images. `threshold` and `gap` are γ and g; with `adaptive_gap` the
    thresholds follow the share of ID among the confident verdicts.
    """

    def __init__(
        self, labels: Labels, groups: int, images_per_label: int, threshold: float, gap: float, *, adaptive_gap: bool
    ) -> None:
        self.groups = labels.groups(groups)
        self.labels, self.images_per_label = labels, images_per_label
        self.threshold, self.gap, self.adaptive_gap = threshold, gap, adaptive_gap
        self.fixed = Thresholds.fixed(threshold, gap)
        self.thresholds = self.fixed

    def memory(self) -> MemoryBank:
        """An empty memory with a row for each label, in the bank's order."""
        return MemoryBank(np.full(len(self.labels.embeddings), self.images_per_label), self.labels.dim)

    def verdicts(self, batch: ImageBatch, count: int) -> list[bool]:
        """The confident ones of the first `count` images, true for ID."""
        scores = (1.0 - batch.negative_mass(self.groups))[:count].tolist()
        return [s > self.fixed.positive for s in scores if s > self.fixed.positive or s < self.fixed.negative]

    def adapt(self, positive_fraction: float) -> None:
        """Sets the thresholds by the share of ID among the confident verdicts."""
        if self.adaptive_gap:
            self.thresholds = Thresholds.adapted(self.threshold, self.gap, positive_fraction)

    def offers(self, batch: ImageBatch, count: int) -> Offers:
        """The confident ones of the first `count` images; their priority is the entropy over that side's labels."""
        scores = (1.0 - batch.negative_mass(self.groups))[:count]
        positive = (scores > self.thresholds.positive).nonzero()[:, 0]
        negative = (scores < self.thresholds.negative).nonzero()[:, 0]
        priorities = [
            entropies(batch.id_exponentials.terms[positive]),
            entropies(batch.negative_exponentials.terms[negative]),
        ]
        places = torch.cat([batch.id_label[positive], batch.nearest_negative[negative]])
        chosen = torch.cat([positive, negative])
        return Offers(
            places=chosen.cpu().numpy(),
            rows=self.labels.indices[places].cpu().numpy(),
            priorities=torch.cat(priorities).cpu().numpy(),
            embeddings=batch.embeddings[chosen].cpu().numpy(),
        )

    def conclude(self, memory: Candidates, invert: Invert | None) -> Candidates:  # noqa: ARG002
        """The memory itself."""
        return memory


class SequentialAdaNeg:
    """The authors' own order: batch by batch, the memory learns from a batch and then scores it.

    `scorer`: from what is remembered to what scores.
    """

    def __init__(self, labels: Labels, learner: AdaNegLearner, scorer: Callable[[Candidates], Scorer]) -> None:
        self.labels, self.learner, self.scorer = labels, learner, scorer
        self.memory = learner.memory()
        self.recent = RecentVerdicts()

    def __call__(self, embeddings: Float[Tensor, "images dim"], keys: Sequence[str]) -> Float64[Tensor, " images"]:
        batches = list(image_batches(embeddings, self.labels))
        for batch, count in batches:
            self.recent.add(self.learner.verdicts(batch, count))
        self.learner.adapt(self.recent.positive_fraction)
        for number, (batch, count) in enumerate(batches):
            self.memory.offer(self.learner.offers(batch, count).named(keys[number * BLOCK :]))
        scorer = self.scorer(self.memory.snapshot())
        return torch.cat([scorer(batch)[:count] for batch, count in batches])
