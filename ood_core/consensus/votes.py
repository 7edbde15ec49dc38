"""Votes: what an image says, and to which anchors (METHODS.md §10)."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Integer
from torch import Tensor

from ood_core.methods import Consensus
from ood_core.numerics import BLOCK, Columns, blocks


@dataclass(frozen=True)
class Votes:
    """Of some images: the base method's log-odds, their nearest anchors, the nearest first, with weights that sum to
    1, and the cosine to the nearest."""

    log_odds: Float64[np.ndarray, " images"]
    anchors: Integer[np.ndarray, "images nearest"]
    weights: Float[np.ndarray, "images nearest"]
    cosines: Float[np.ndarray, " images"]

    def __len__(self) -> int:
        return len(self.log_odds)


class Voting:
    """Finds the nearest anchors of images, in blocks of one shape, so that a row's votes are its own image's alone."""

    def __init__(self, anchors: Float32[np.ndarray, "anchors dim"], parameters: Consensus, device: str = "cpu") -> None:
        self.columns = Columns(torch.from_numpy(anchors).to(device))
        self.nearest = min(parameters.nearest, len(anchors))
        self.sharpness = parameters.sharpness

    @torch.inference_mode()
    def __call__(self, embeddings: Float[Tensor, "images dim"], log_odds: Float64[np.ndarray, " images"]) -> Votes:
        """The votes of images with unit embeddings."""
        count = len(embeddings)
        anchors = np.empty((count, self.nearest), np.int32)
        weights, closest = np.empty((count, self.nearest), np.float32), np.empty(count, np.float32)
        start = 0
        for block, real in blocks(embeddings.to(self.columns.padded), BLOCK):
            cosines, places = self.columns.products(block).topk(self.nearest, dim=1)
            shares = torch.softmax(cosines.double() * self.sharpness, dim=1)
            rows = slice(start, start + real)
            anchors[rows], weights[rows] = places[:real].cpu().numpy(), shares[:real].cpu().numpy()
            closest[rows] = cosines[:real, 0].cpu().numpy()
            start += real
        return Votes(log_odds, anchors, weights, closest)
