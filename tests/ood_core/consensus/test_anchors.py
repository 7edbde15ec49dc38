import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ood_core.consensus import Sample, anchor_count, anchors
from ood_core.consensus.anchors import image_hashes
from ood_core.methods import Consensus
from tests.ood_core.conftest import unit_rows

IMAGES, MOST = 3000, 200
KEYS = [f"row {number % 500}" for number in range(IMAGES)]  # as of tables that number their rows anew
EMBEDDINGS = unit_rows(IMAGES, 12, seed=4)


@pytest.fixture
def small_sample(monkeypatch):
    monkeypatch.setattr(anchors, "MOST_IMAGES", MOST)


@pytest.fixture
def threads():
    before = faiss.omp_get_max_threads()
    yield faiss.omp_set_num_threads
    faiss.omp_set_num_threads(before)


def sample_of(places: np.ndarray, images: int = IMAGES) -> Sample:
    return Sample.of([KEYS[place] for place in places], EMBEDDINGS[places], images)


def whole() -> Sample:
    return Sample.together([sample_of(np.arange(IMAGES))])


def same(one: Sample, other: Sample) -> bool:
    return np.array_equal(one.hashes, other.hashes) and np.array_equal(one.embeddings, other.embeddings)


@pytest.mark.parametrize(
    ("images", "parameters", "expected"),
    [
        (0, Consensus(), 16),
        (254, Consensus(), 16),
        (255, Consensus(), 17),
        (150_000, Consensus(), 10_000),
        (15 * 65_536 - 1, Consensus(), 65_535),
        (15 * 65_536, Consensus(), 65_536),
        (10**9, Consensus(), 65_536),
        (150_000, Consensus(images_per_anchor=150), 1000),
        (150_000, Consensus(max_anchors=99), 99),
        (150_000, Consensus(max_anchors=16), 16),
    ],
)
def test_there_is_one_anchor_for_so_many_images_within_limits(images, parameters, expected):
    assert anchor_count(images, parameters) == expected


def test_hashes_are_of_key_and_embedding():
    embeddings = np.repeat(unit_rows(2, 4), 2, axis=0)
    a, b, c, d = image_hashes(["a", "b", "a", "b"], embeddings).tolist()
    assert len({a, b, c, d}) == 4
    assert image_hashes(["b"], embeddings[2:3]).tolist() == [d]


@pytest.mark.parametrize(
    ("keys", "embeddings"),
    [([str(number) for number in range(2000)], np.repeat(unit_rows(1, 4), 2000, axis=0)), (["a"] * 2000, EMBEDDINGS)],
    ids=["equal images", "equal keys"],
)
def test_hashes_are_evenly_spread(keys, embeddings):
    shares = image_hashes(keys, embeddings[:2000]).astype(np.float64) / 2**64
    assert len(set(shares)) == 2000
    np.testing.assert_allclose(np.histogram(shares, 4, (0, 1))[0], 500, atol=80)


def test_few_images_are_all_in_the_sample():
    assert sorted(map(tuple, whole().embeddings.tolist())) == sorted(map(tuple, EMBEDDINGS.tolist()))


def test_a_sample_is_bounded_and_holds_the_lowest_hashes(small_sample):
    found = whole()
    assert 0.8 * MOST < len(found.embeddings) <= MOST
    hashes = image_hashes(KEYS, EMBEDDINGS)
    lowest = np.argsort(hashes)[: len(found.embeddings)]
    np.testing.assert_array_equal(found.hashes, hashes[lowest])
    np.testing.assert_array_equal(found.embeddings, EMBEDDINGS[lowest])


def test_no_part_brings_much_more_than_there_is_room_for(small_sample):
    assert len(sample_of(np.arange(IMAGES)).embeddings) < 1.3 * MOST


def test_images_that_share_a_key_may_all_be_in_the_sample(small_sample):
    found = Sample.together([Sample.of(["row 0"] * IMAGES, EMBEDDINGS, IMAGES)])
    assert 0.8 * MOST < len(found.embeddings) <= MOST


@given(st.integers(0, 10**6), st.lists(st.integers(0, IMAGES), max_size=5))
@settings(max_examples=10)
def test_a_sample_is_the_same_in_any_order_and_split(seed, cuts):
    parts = [sample_of(places) for places in np.split(np.random.default_rng(seed).permutation(IMAGES), sorted(cuts))]
    assert same(Sample.together(parts), whole())


def test_a_bounded_sample_is_the_same_in_any_order_and_split(small_sample):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        parts = [sample_of(p) for p in np.split(rng.permutation(IMAGES), sorted(rng.integers(0, IMAGES, 4)))]
        assert same(Sample.together(parts), whole())
        assert same(Sample.together([Sample.together(parts[:2]), Sample.together(parts[2:])]), whole())


@pytest.mark.parametrize("count", [1, 16, 200])
def test_anchors_are_unit_vectors_no_two_the_same(count):
    found = whole().anchors(count)
    assert found.shape == (count, 12)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=0, atol=1e-6)
    assert len(np.unique(found, axis=0)) == count


@pytest.mark.parametrize("images", [1, 3])
def test_of_few_different_images_anchors_are_distinct_unit_vectors(images):
    embeddings = np.repeat(unit_rows(images, 12), 20, axis=0)
    keys = [str(number) for number in range(len(embeddings))]
    for count in (16, len(embeddings)):
        found = Sample.together([Sample.of(keys, embeddings, len(keys))]).anchors(min(count, len(keys)))
        assert 1 <= len(found) == len(np.unique(found, axis=0))
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=0, atol=1e-6)


def test_anchors_are_nearer_to_images_than_images_are():
    found = whole()
    nearest, by_chance = ((EMBEDDINGS @ each.T).max(axis=1) for each in (found.anchors(100), found.embeddings[:100]))
    in_sample = found.embeddings[100:] @ found.embeddings[:100].T
    assert nearest.mean() > max(in_sample.max(axis=1).mean(), by_chance[100:].mean()) + 0.02


def test_each_kind_has_its_anchors():
    kinds = unit_rows(4, 64, seed=1)[np.arange(800) % 4] + 0.3 * unit_rows(800, 64, seed=2)
    kinds = (kinds / np.linalg.norm(kinds, axis=1, keepdims=True)).astype(np.float32)
    found = Sample.together([Sample.of([str(number) for number in range(800)], kinds, 800)]).anchors(32)
    assert (kinds @ found.T).max(axis=1).min() > 0.9


def test_anchors_are_the_same_whatever_the_number_of_threads(threads):
    threads(1)
    one = whole().anchors(250)
    threads(2)
    np.testing.assert_array_equal(whole().anchors(250), one)


def test_anchors_are_the_same_in_any_order_of_the_images(small_sample):
    shuffled = Sample.together([sample_of(np.random.default_rng(0).permutation(IMAGES))])
    np.testing.assert_array_equal(shuffled.anchors(16), whole().anchors(16))


def test_fewer_images_than_anchors_are_too_few():
    few = sample_of(np.arange(15), 15)
    with pytest.raises(ValueError, match="15 images are too few for 16 anchors"):
        few.anchors(16)
    assert len(few.anchors(15)) == 15
