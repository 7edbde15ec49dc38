"""Finds the anchors that images vote on (METHODS.md §10)."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from ood_core.consensus.votes import Votes
from ood_core.methods import Consensus
from ood_core.numerics import BLOCK, Columns, blocks


class Voting:
    """Finds the nearest anchors of images, in blocks of one shape, so that a row's votes are its own image's alone."""

    def __init__(self, anchors: Float32[np.ndarray, "anchors dim"], parameters: Consensus, device: str = "cpu") -> None:
        self.columns = Columns(torch.tensor(anchors, device=device))
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
