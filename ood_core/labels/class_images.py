"""What stands for a class in image space (InterNeg, arXiv 2603.02618; METHODS.md §8). Free of torch."""

import numpy as np
from jaxtyping import Float, Int


def class_means(
    embeddings: Float[np.ndarray, "images dim"], labels: Int[np.ndarray, " images"], id_count: int
) -> Float[np.ndarray, "id_labels dim"]:
    """p_i: the normalised mean of each class's unit image embeddings, summed in the order given.

    `labels`: the number of each image's ID label. Raises ValueError for a label without images, or whose images cancel
    each other out.
    """
    means = known_class_means(embeddings, labels, id_count)
    empty = np.flatnonzero(~means.any(axis=1))
    if len(empty):
        raise ValueError(f"ID label number {empty[0]} has no mean image embedding")
    return means


def known_class_means(
    embeddings: Float[np.ndarray, "images dim"], labels: Int[np.ndarray, " images"], id_count: int
) -> Float[np.ndarray, "id_labels dim"]:
    """The same with zeros for a label that has none."""
    sums = np.zeros((id_count, embeddings.shape[1]))
    np.add.at(sums, labels, embeddings.astype(np.float64))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths >= 1e-6).astype(np.float32)
