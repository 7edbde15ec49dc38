"""The authors' vectors as banks, keys and text encoders.

They are not part of this repository: OODSCAN_CONFORMANCE names their folder, by default `../shared/conformance`.
Without them the float64 oracles in `tests/ood_core` check the same mathematics.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from ood_core.labels import BankInfo, LabelBank

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("OODSCAN_CONFORMANCE") or REPOSITORY.parent / "shared" / "conformance")
Vectors = Mapping[str, np.ndarray]


def vectors(name: str) -> Vectors:
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the authors' vectors are not here: {path} (set OODSCAN_CONFORMANCE to their folder)")
    with np.load(path) as given:  # which reads an array from the file each time that it is asked for
        return dict(given)


def bank(given: Vectors) -> LabelBank:
    """ID labels `id 0`, `id 1` … and negatives `negative 0` …, in the vectors' own group order."""
    negatives = given["neg_text"] if "neg_text" in given else given["id_text"][:0]
    labels = np.concatenate([given["id_text"], negatives])
    return LabelBank(
        texts=[
            *(f"id {row}" for row in range(len(given["id_text"]))),
            *(f"negative {j}" for j in range(len(negatives))),
        ],
        parts=["noun"] * len(labels),
        id_count=len(given["id_text"]),
        embeddings=labels,
        selection_scores=np.full(len(labels), np.nan),
        verdicts=[None] * len(labels),
        info=BankInfo(
            permutation=given["permutation"].tolist() if "permutation" in given else "none", temperature=0.01
        ),
    )


def keys(given: Vectors) -> list[str]:
    return [f"image {row:03d}" for row in range(len(given["image"]))]


def pair(given: Vectors, id_label: int, negative: int) -> np.ndarray:
    """The made-up text encoder of the vectors."""
    text = given["pair_id_weight"] * given["id_text"][id_label]
    text = text + given["pair_neg_weight"] * given["neg_text"][negative] + given["pair_offset"]
    return text / np.linalg.norm(text)


def pair_embeddings(given: Vectors) -> Callable[[Sequence[str]], torch.Tensor]:
    def encode(texts: Sequence[str]) -> torch.Tensor:
        numbers = [tuple(int(part.split()[1]) for part in text.split(" and ")) for text in texts]
        return torch.from_numpy(np.stack([pair(given, *both) for both in numbers]).astype(np.float32))

    return encode
