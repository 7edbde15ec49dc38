"""Anchors: spherical k-means centroids of a bounded sample of the embeddings (METHODS.md §10).

Free of torch, which only the fit of many anchors needs.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt64

from ood_core.methods.consensus import MIN_ANCHORS, Consensus

MOST_IMAGES, ROOM = 2**17, 1.05
"""Of the sample, and how many times as many are looked at, so that there are enough."""
ITERATIONS, SEED = 8, 0
"""Of k-means for few anchors."""
MANY_ANCHORS = 8192
"""More are fitted by looking into the nearest cells alone."""


def anchor_count(images: int, parameters: Consensus) -> int:
    """The number of anchors for a number of images."""
    return min(max(images // parameters.images_per_anchor, MIN_ANCHORS), parameters.max_anchors, MOST_IMAGES)


def image_hashes(keys: Sequence[str], embeddings: Float32[np.ndarray, "images dim"]) -> UInt64[np.ndarray, " images"]:
    """A hash of each image's key and embedding, evenly spread.

    Keys alone would not do: tables often number their rows anew.
    """
    digests = [
        hashlib.blake2b(embedding.tobytes(), digest_size=8, key=hashlib.blake2b(key.encode(), digest_size=32).digest())
        for key, embedding in zip(keys, embeddings, strict=True)
    ]
    return np.array([int.from_bytes(digest.digest(), "little") for digest in digests], np.uint64)


@dataclass(frozen=True)
class Sample:
    """The images that anchors are fitted to: those with the lowest hashes, `MOST_IMAGES` at most, in any order."""

    hashes: UInt64[np.ndarray, " images"]
    embeddings: Float32[np.ndarray, "images dim"]

    @classmethod
    def of(cls, keys: Sequence[str], embeddings: Float32[np.ndarray, "images dim"], images: int) -> "Sample":
        """Which of the given images can be in the sample; `images` is how many there are in all."""
        hashes, share = image_hashes(keys, embeddings), ROOM * MOST_IMAGES / max(images, 1)
        likely = np.full(len(keys), True) if share >= 1 else hashes < np.uint64(share * 2**64)
        return cls(hashes[likely], embeddings[likely])

    @classmethod
    def together(cls, parts: "Sequence[Sample]") -> "Sample":
        """Merges samples of different images, at least one, into the sample of them all."""
        hashes = np.concatenate([part.hashes for part in parts])
        embeddings = np.concatenate([part.embeddings for part in parts])
        order = np.argsort(hashes, kind="stable")[:MOST_IMAGES]
        return cls(hashes[order], embeddings[order])

    def anchors(self, count: int) -> Float32[np.ndarray, "anchors dim"]:
        """Anchors fitted by k-means: at most `count` unit vectors, no two the same.

        Raises ValueError if there are fewer images than that. The same for the same sample, whatever number of threads.
        """
        if len(self.embeddings) < count:
            raise ValueError(f"{len(self.embeddings)} images are too few for {count} anchors")
        centroids = self._many(count) if count > MANY_ANCHORS else self._few(count)
        _, firsts = np.unique(centroids, axis=0, return_index=True)
        return centroids[np.sort(firsts)]

    def _few(self, count: int) -> Float32[np.ndarray, "anchors dim"]:
        """By comparing every image with every anchor."""
        import faiss  # with an OpenMP of its own, which only who fits anchors should have

        clustering = faiss.Kmeans(
            self.embeddings.shape[1],
            count,
            niter=ITERATIONS,
            seed=SEED,
            spherical=True,
            min_points_per_centroid=1,
            max_points_per_centroid=MOST_IMAGES,
        )
        clustering.train(np.ascontiguousarray(self.embeddings))
        return np.asarray(clustering.centroids, np.float32)

    def _many(self, count: int) -> Float32[np.ndarray, "anchors dim"]:
        """By comparing every image with the anchors in the nearest cells."""
        from ood_core.consensus.many_anchors import fitted  # needs torch

        return fitted(self.embeddings, count)
