"""Embeddings that no model made: clustered unit vectors of CLIP's geometry, where only the cost is measured. Seeded."""

import numpy as np

from ood_core.labels import LabelBank

COSINE = 0.3
"""Of an image to its own label's text, as CLIP has."""
KIND_COSINE = 0.85
"""Of an image to the middle of its kind: two of a kind are at 0.72, as CLIP's are of photos of one kind of thing."""
SHARES = {"id": 0.6, "negative": 0.2}
"""Of the images, around ID labels and around a few of the negatives; the others lie anywhere."""
FEW_NEGATIVES = 0.05


def units(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    drawn = rng.standard_normal((count, dim), np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def bank(rng: np.random.Generator, ids: int, negatives: int, dim: int) -> LabelBank:
    """Labels in random directions."""
    texts = [f"label {number}" for number in range(ids)] + [f"negative {number}" for number in range(negatives)]
    return LabelBank(
        texts=texts,
        parts=["noun"] * len(texts),
        id_count=ids,
        embeddings=units(rng, len(texts), dim),
        selection_scores=np.full(len(texts), np.nan),
        verdicts=[None] * len(texts),
    )


def around(rng: np.random.Generator, directions: np.ndarray, cosine: float = COSINE) -> np.ndarray:
    """A unit vector for each direction, about at that cosine to it: what is left points anywhere."""
    rest = units(rng, *directions.shape)
    found = cosine * directions + np.sqrt(1 - cosine**2) * rest
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def kinds_of(rng: np.random.Generator, of: LabelBank, kinds: int, count: int) -> np.ndarray:
    """Images of so many kinds, at `KIND_COSINE` to the middle of theirs: the kinds themselves lie as `images` do."""
    middles = images(np.random.default_rng(kinds), of, kinds)
    return around(rng, middles[rng.integers(0, kinds, count)], KIND_COSINE)


def images(rng: np.random.Generator, of: LabelBank, count: int) -> np.ndarray:
    """In random order, clustered as `SHARES` says; two images around one label are hardly nearer than by chance."""
    few = of.id_count + rng.permutation(of.negative_count)[: max(1, round(FEW_NEGATIVES * of.negative_count))]
    around_id, around_negative = (round(share * count) for share in SHARES.values())
    labels = np.concatenate([rng.integers(0, of.id_count, around_id), rng.choice(few, around_negative)])
    anywhere = units(rng, count - len(labels), of.dim)
    return rng.permutation(np.concatenate([around(rng, of.embeddings[labels]), anywhere]))
