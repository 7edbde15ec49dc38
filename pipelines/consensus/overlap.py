"""Finds the images of a scan that are in its reference too, by their embeddings."""

import numpy as np
from jaxtyping import Bool, Float32, UInt64

SEED = 0


def hashes_of(embeddings: Float32[np.ndarray, "images dim"]) -> UInt64[np.ndarray, " images"]:
    """A hash of each embedding in half precision, as scans keep them: of an image in both, it is the same."""
    halves = embeddings.astype(np.float16).view(np.uint16).astype(np.uint64)
    factors = np.random.default_rng(SEED).integers(2**64, size=halves.shape[1], dtype=np.uint64)
    return halves @ (factors | np.uint64(1))  # modulo 2^64


def is_among(
    embeddings: Float32[np.ndarray, "images dim"], hashes: UInt64[np.ndarray, " others"]
) -> Bool[np.ndarray, " images"]:
    """Which of the embeddings have one of these hashes, which are sorted."""
    found = hashes_of(embeddings)
    places = np.minimum(np.searchsorted(hashes, found), max(len(hashes) - 1, 0))
    return hashes[places] == found if len(hashes) else np.zeros(len(found), bool)
