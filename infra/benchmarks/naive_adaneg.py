"""AdaNeg's score as METHODS.md §7 writes it, in float32: every row padded to the memory's length, every proxy made."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import AdaNeg


class NaiveAdaNeg:
    """[images, dim] to scores, through the proxies as an array [images, labels, dim]."""

    def __init__(self, parameters: AdaNeg, of: LabelBank, learned: Candidates) -> None:
        """`learned`: full rows."""
        self.parameters, self.bank = parameters, of
        self.labels = torch.from_numpy(of.embeddings)
        places = torch.from_numpy(np.arange(len(learned)) % (parameters.memory_length - 1) + 1)
        self.features = torch.zeros(len(self.labels), parameters.memory_length, of.dim)
        self.features[:, 0] = self.labels
        self.features[torch.from_numpy(learned.rows), places] = torch.from_numpy(learned.embeddings)
        self.present = torch.zeros(self.features.shape[:2], dtype=torch.bool)
        self.present[:, 0] = True
        self.present[torch.from_numpy(learned.rows), places] = True
        grouped = of.negative_count // parameters.groups * parameters.groups
        order = of.permutation()
        self.groups = of.id_count + torch.from_numpy(order[order < grouped])

    def __call__(self, images: Tensor) -> np.ndarray:
        adapted = self._grouped(torch.einsum("bd,brd->br", images, self._proxies(images)))
        return (adapted + self.parameters.weight_of_static * self._grouped(images @ self.labels.T)).numpy()

    def _proxies(self, images: Tensor) -> Tensor:
        if self.parameters.proxies == "task":
            return F.normalize(self.features.sum(dim=1), dim=1).expand(len(images), -1, -1)
        near = torch.einsum("bd,rld->brl", images, self.features)
        weights = torch.exp(-self.parameters.beta * (1 - near)) * self.present
        return F.normalize(torch.einsum("brl,rld->brd", weights, self.features), dim=2)

    def _grouped(self, cosines: Tensor) -> Tensor:
        masses = torch.exp((cosines - cosines.amax(dim=1, keepdim=True)) / self.bank.info.temperature)
        of_id = masses[:, : self.bank.id_count].sum(dim=1, keepdim=True)
        of_groups = masses[:, self.groups].view(len(masses), self.parameters.groups, -1).sum(dim=2)
        return (of_id / (of_id + of_groups)).mean(dim=1)
