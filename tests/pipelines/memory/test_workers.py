"""What the workers of the learning step make of images, without Ray."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import InterNeg
from ood_core.scores import Labels
from ood_core.vectors import vector_column
from pipelines.memory.workers import extra_negatives

DIM, IMAGES = 8, 20


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def drawn(rows: int, seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(rows, DIM)))


def turned(images: torch.Tensor, keys: object) -> torch.Tensor:
    """Words for images, each image's its own."""
    return torch.nn.functional.normalize(images.roll(1, dims=1), dim=1)


@pytest.mark.parametrize("keys", [[f"{number}" for number in range(IMAGES)], ["a"] * IMAGES], ids=["own", "repeated"])
def test_every_image_has_its_own_word_whatever_its_key_and_the_order_of_words(keys: list[str]) -> None:
    labels = drawn(9, 0)
    bank = LabelBank(
        [f"label {n}" for n in range(9)], ["noun"] * 9, 3, labels, np.full(9, np.nan), [None] * 9,
        image_embeddings=unit(labels[:3] + 0.2 * drawn(3, 1)),
    )  # fmt: skip
    chosen, images = InterNeg(groups=2), drawn(IMAGES, 2)
    memory = Candidates(np.zeros(IMAGES, np.int64), np.arange(IMAGES, dtype=np.float64), keys, images)
    words = turned(torch.from_numpy(images), keys).numpy()
    table = pa.table({"key": keys, "embedding": vector_column(images), "word": vector_column(words)})
    found = extra_negatives(bank, chosen, memory, table.take(np.random.default_rng(3).permutation(IMAGES)))
    expected = chosen.learner(Labels.of(bank)).conclude(memory, turned)
    assert len(expected) > 1
    np.testing.assert_array_equal(found.embeddings, expected.embeddings)
    assert list(found.keys) == list(expected.keys)
