"""TANL in the authors' own order: batch by batch, each scored with what it taught (METHODS.md §11, "Per batch")."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64
from torch import Tensor

from ood_core.memory.gap import Thresholds
from ood_core.methods.tanl import TANL
from ood_core.scores.batch import Labels
from ood_core.scores.tanl import TANLScorer, activations, best_cut, in_bank_order, most_active


class ActivationQueue:
    """The last `length` rows of activations that were added, first in first out, and their mean.

    Rows are kept in float32: 300 of 72 000 labels are 86 MB. Their sum is kept in float64 as rows come and go, so that
    no batch goes over all of them; what rounding adds to it in a million batches is far below 1e-9.
    """

    def __init__(self, length: int, width: int, device: torch.device) -> None:
        self.kept = torch.zeros(length, width, device=device)
        self.total = torch.zeros(width, dtype=torch.float64, device=device)
        self.added = 0

    def add(self, rows: Float64[Tensor, "rows corpus"]) -> None:
        new = rows[-len(self.kept) :].float()
        self.added += len(rows)
        places = torch.arange(self.added - len(new), self.added, device=self.kept.device) % len(self.kept)
        self.total += new.sum(dim=0, dtype=torch.float64) - self.kept[places].sum(dim=0, dtype=torch.float64)
        self.kept[places] = new

    @property
    def mean(self) -> Float64[Tensor, " corpus"]:
        return self.total / min(self.added, len(self.kept))

    @property
    def rows(self) -> Float32[Tensor, "rows corpus"]:
        """The rows, the oldest first."""
        if self.added <= len(self.kept):
            return self.kept[: self.added]
        return self.kept.roll(-self.added, dims=0)


@dataclass(frozen=True)
class TANLBatch:
    """What was found in one batch. Corpus labels go by their rows in the bank, images in the order of the batch.

    `first_activation`: d before the batch, with the labels that it chose and the scores by these, higher = more
    in-distribution; the threshold; which images are ID-confident and OOD-confident; `activation`: d with the batch, and
    the labels that it chose for the final score.
    """

    first_activation: Float64[np.ndarray, " corpus"]
    first_chosen: Int64[np.ndarray, " chosen"]
    first_score: Float64[np.ndarray, " images"]
    threshold: float
    confident_id: Bool[np.ndarray, " images"]
    confident_ood: Bool[np.ndarray, " images"]
    activation: Float64[np.ndarray, " corpus"]
    chosen: Int64[np.ndarray, " chosen"]


class SequentialTANL:
    """The authors' own order: a batch is scored, its confident images tell which labels count, and it is scored again.

    `noise`: features of images of pure noise. `start_id_rows`, `start_noise_rows`: which ID labels and noise images the
    queues start with, the oldest first; by default all, in an order drawn with the parameters' seed, of which the last
    `memory_length` stay. `id_queue` and `ood_queue` have columns in the order of `labels`; `last` is of the last batch.
    """

    def __init__(
        self,
        parameters: TANL,
        labels: Labels,
        noise: Float[Tensor, "noise dim"],
        start_id_rows: Int[np.ndarray, " start_id"] | None = None,
        start_noise_rows: Int[np.ndarray, " start_noise"] | None = None,
    ) -> None:
        self.parameters, self.labels = parameters, labels
        rng, noise = np.random.default_rng(parameters.seed), noise.to(labels.embeddings)
        id_rows = rng.permutation(labels.id_count) if start_id_rows is None else start_id_rows
        noise_rows = rng.permutation(len(noise)) if start_noise_rows is None else start_noise_rows
        self.id_queue, self.ood_queue = self._queue(labels.id, id_rows), self._queue(noise, noise_rows)
        start = TANLScorer(labels, self._chosen(self._difference()), parameters.step)
        self.window = start.scores(torch.cat([labels.id, noise])).cpu().numpy()[-parameters.score_window :]
        self.last: TANLBatch | None = None

    def __call__(self, embeddings: Float[Tensor, "images dim"], keys: Sequence[str]) -> Float64[Tensor, " images"]:  # noqa: ARG002
        images, before = embeddings.to(self.labels.embeddings), self._difference()
        first_chosen, first = self._scored(before, images)
        self.window = np.concatenate([self.window, first.cpu().numpy()])[-self.parameters.score_window :]
        threshold = best_cut(self.window)
        limits = Thresholds.fixed(threshold, self.parameters.gap)
        confident_id, confident_ood = first > limits.positive, first < limits.negative
        now = self._learn(images, torch.stack([confident_id, confident_ood]))
        chosen, score = self._scored(now, images)
        self.last = TANLBatch(
            in_bank_order(self.labels, before),
            first_chosen,
            first.cpu().numpy(),
            threshold,
            confident_id.cpu().numpy(),
            confident_ood.cpu().numpy(),
            in_bank_order(self.labels, now),
            chosen,
        )
        return score

    def _learn(
        self, images: Float[Tensor, "images dim"], sides: Bool[Tensor, "2 images"]
    ) -> Float64[Tensor, " corpus"]:
        """d with the batch: of the queues as they were and of its confident images, which then join the queues."""
        queues, confident = (self.id_queue, self.ood_queue), sides.any(dim=0)
        means = torch.stack([queue.mean for queue in queues])
        totals, start, members = torch.zeros_like(means), 0, sides[:, confident]
        for part in activations(self.labels, images[confident]):
            for queue, total, chosen in zip(queues, totals, members[:, start : start + len(part)], strict=True):
                total += part[chosen].sum(dim=0)
                queue.add(part[chosen])
            start += len(part)
        of_id, of_ood = map(self._mixed, means, totals, members.sum(dim=1).tolist())
        return of_ood - of_id

    def _mixed(
        self, before: Float64[Tensor, " corpus"], total: Float64[Tensor, " corpus"], count: int
    ) -> Float64[Tensor, " corpus"]:
        """A side's mean, of its queue and the batch's images: `count` of them, which have no say if there are none."""
        if not count:
            return before
        return self.parameters.alpha * before + (1 - self.parameters.alpha) * (total / count)

    def _scored(
        self, activation: Float64[Tensor, " corpus"], images: Float[Tensor, "images dim"]
    ) -> tuple[Int64[np.ndarray, " chosen"], Float64[Tensor, " images"]]:
        chosen = self._chosen(activation)
        return chosen, TANLScorer(self.labels, chosen, self.parameters.step).scores(images)

    def _chosen(self, activation: Float64[Tensor, " corpus"]) -> Int64[np.ndarray, " chosen"]:
        return most_active(in_bank_order(self.labels, activation), self.parameters.labels_kept)

    def _difference(self) -> Float64[Tensor, " corpus"]:
        return self.ood_queue.mean - self.id_queue.mean

    def _queue(self, embeddings: Float[Tensor, "start dim"], rows: Int[np.ndarray, " rows"]) -> ActivationQueue:
        """A queue of the activations of some rows; those that would leave it at once are not computed."""
        queue = ActivationQueue(self.parameters.memory_length, self.labels.negative_count, self.labels.device)
        kept = torch.from_numpy(rows[-self.parameters.memory_length :]).to(self.labels.device)
        for part in activations(self.labels, embeddings[kept]):
            queue.add(part)
        return queue
