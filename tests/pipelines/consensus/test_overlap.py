"""Images of a scan that are in its reference too are known by their embeddings, in full precision or in half."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.consensus.overlap import hashes_of, is_among


def units(rows: int, dim: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(rows, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 70), st.integers(0, 10**6))
def test_those_that_are_in_both_are_found_and_no_others(shared: int, others: int, dim: int, seed: int) -> None:
    images, reference = units(shared + others, dim + 3, seed), units(30, dim + 3, seed + 1)
    kept = images[:shared].astype(np.float16).astype(np.float32)  # as a scan keeps its embeddings
    hashes = np.unique(np.concatenate([hashes_of(reference), hashes_of(kept)]))
    assert is_among(images, hashes).tolist() == [True] * shared + [False] * others


def test_many_embeddings_have_hashes_of_their_own() -> None:
    drawn = np.random.default_rng(0).integers(-5, 6, size=(200_000, 16)).astype(np.float32)
    distinct = np.unique(drawn, axis=0)
    assert len(np.unique(hashes_of(distinct))) == len(distinct)


@pytest.mark.parametrize("rows", [0, 5])
def test_without_a_reference_nothing_is_in_it(rows: int) -> None:
    assert (
        is_among(units(rows, 8, 0) if rows else np.empty((0, 8), np.float32), np.empty(0, np.uint64)).tolist()
        == [False] * rows
    )
