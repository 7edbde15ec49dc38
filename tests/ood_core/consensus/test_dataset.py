"""Consensus of a whole dataset: through `consensus`, and as a method of `score_dataset`."""

import numpy as np
import pytest
import torch

from ood_core.consensus import log_odds
from ood_core.consensus.dataset import ConsensusScores, consensus
from ood_core.methods import MCM, AdaNeg, Consensus, MaxCos, NegLabel, Reference
from ood_core.metrics import auroc
from ood_core.scores import score_dataset
from tests.ood_core.conftest import unit_rows

IMAGES = 400
KEYS = [f"row {number % 150}" for number in range(IMAGES)]
ORDER = np.random.default_rng(9).permutation(IMAGES)


@pytest.fixture
def bank(bank_of, unit):
    return bank_of(unit(7, 48, seed=1), unit(30, 48, seed=2), temperature=0.1)


def of_kinds(kinds: int, per_kind: int, seed: int, spread: float = 0.6) -> torch.Tensor:
    """Unit vectors around as many centres, kind after kind."""
    centres = np.repeat(unit_rows(kinds, 48, seed), per_kind, axis=0)
    drawn = centres + spread * unit_rows(kinds * per_kind, 48, seed + 1)
    return torch.from_numpy((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32))


@pytest.fixture
def images():
    return of_kinds(20, IMAGES // 20, seed=3)


def noisy(is_id: np.ndarray, difference: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=len(is_id)) + difference * is_id


def standard(log_odds: np.ndarray) -> np.ndarray:
    return (log_odds - log_odds.mean()) / log_odds.std()


def found_in_kinds(parameters: Consensus, seed: int = 0) -> tuple[np.ndarray, np.ndarray, ConsensusScores]:
    """Twenty kinds of which four are OOD: which images are ID, noisy log-odds, and their consensus."""
    embeddings, is_id = of_kinds(20, 40, seed=seed), np.repeat(np.arange(20) >= 4, 40)
    base = noisy(is_id, 1.5, seed)
    return is_id, base, consensus(embeddings, [str(number) for number in range(800)], base, parameters)


def area(scores: np.ndarray, is_id: np.ndarray) -> float:
    return auroc(scores[is_id], scores[~is_id])


@pytest.mark.parametrize("parameters", [Consensus(), Consensus(reach=None), Consensus(caution=0.0)])
@pytest.mark.parametrize("seed", [0, 10, 20])
def test_what_comes_in_kinds_is_found_in_spite_of_noise(parameters, seed):
    is_id, base, found = found_in_kinds(parameters, seed)
    assert 0.8 < area(base, is_id) < 0.9
    assert 1 - area(found.score, is_id) < 0.7 * (1 - area(base, is_id))


def test_scores_without_any_agreement_hardly_move():
    base = noisy(np.zeros(IMAGES), 0.0, seed=4)
    found = consensus(of_kinds(20, IMAGES // 20, seed=3), KEYS, base, Consensus())
    assert found.agreement < 0.2
    assert np.corrcoef(found.score, base)[0, 1] > 0.95


def test_it_tells_how_each_score_came_about():
    _, base, found = found_in_kinds(Consensus())
    np.testing.assert_allclose(found.score - found.shift, standard(base), rtol=0, atol=1e-9)
    assert 0.2 < found.agreement < 1
    assert (found.weight >= 0).all()
    assert found.weight.max() <= min(0.97, found.agreement)
    assert (found.shift[found.weight == 0] == 0).all()
    assert 16 <= len(set(found.anchor.tolist())) <= 800 // 15


def test_images_of_a_kind_share_anchors():
    _, _, found = found_in_kinds(Consensus())
    kinds_of = [set((np.flatnonzero(found.anchor == anchor) // 40).tolist()) for anchor in set(found.anchor.tolist())]
    assert np.mean([len(kinds) == 1 for kinds in kinds_of]) > 0.5


def test_consensus_is_the_same_to_the_last_bit_in_any_order(images):
    base = noisy(np.arange(IMAGES) > 100, 2.0, seed=5)
    straight = consensus(images, KEYS, base, Consensus())
    turned = consensus(images[torch.from_numpy(ORDER)], [KEYS[place] for place in ORDER], base[ORDER], Consensus())
    assert turned.agreement == straight.agreement > 0
    for column in ("score", "weight", "shift", "anchor"):
        np.testing.assert_array_equal(getattr(turned, column), getattr(straight, column)[ORDER])


def test_copies_of_one_image_have_a_consensus():
    embeddings = torch.from_numpy(np.repeat(unit_rows(1, 48), 50, axis=0))
    base = noisy(np.arange(50) > 25, 1.0, seed=6)
    found = consensus(embeddings, [str(number) for number in range(50)], base, Consensus())
    assert np.isfinite(found.score).all()
    assert len(set(found.anchor.tolist())) == 1


def test_as_a_method_it_smooths_the_scores_of_its_base(bank, images):
    methods = {"consensus": Consensus(base="mcm", caution=1.0), "neglabel": NegLabel(5), "mcm": MCM(0.1)}
    found = score_dataset(bank, methods, images, KEYS)
    assert list(found.scores) == ["consensus", "neglabel", "mcm"]
    base = log_odds(found.scores["mcm"], MCM(0.1))
    expected = consensus(images, KEYS, base, Consensus(caution=1.0))
    np.testing.assert_array_equal(found.scores["consensus"], expected.score)
    alone = score_dataset(bank, {"mcm": MCM(0.1)}, images, KEYS)
    np.testing.assert_array_equal(found.scores["mcm"], alone.scores["mcm"])


@pytest.mark.parametrize(("base", "parameters"), [("neglabel", NegLabel(5)), ("adaneg", AdaNeg(groups=5))])
def test_as_a_method_it_gives_the_same_to_the_last_bit_in_any_order(bank, images, base, parameters):
    methods = {base: parameters, "consensus": Consensus(base=base)}
    straight = score_dataset(bank, methods, images, KEYS).scores["consensus"]
    turned = score_dataset(bank, methods, images[torch.from_numpy(ORDER)], [KEYS[place] for place in ORDER])
    np.testing.assert_array_equal(turned.scores["consensus"], straight[ORDER])
    assert np.abs(straight - standard(straight)).max() > 1e-3  # smoothed: no longer of deviation 1


@pytest.mark.parametrize("methods", [{"consensus": Consensus()}, {"consensus": Consensus(), "mcm": MCM()}])
def test_without_its_base_it_says_so(bank, images, methods):
    with pytest.raises(ValueError, match="consensus goes by the scores of neglabel, which is not among the methods"):
        score_dataset(bank, methods, images, KEYS)


def test_so_few_images_have_no_consensus(bank, images):
    methods = {"neglabel": NegLabel(5), "consensus": Consensus()}
    with pytest.raises(ValueError, match="15 images are too few for 16 anchors"):
        score_dataset(bank, methods, images[:15], KEYS[:15])
    assert np.isfinite(score_dataset(bank, methods, images[:16], KEYS[:16]).scores["consensus"]).all()


def with_intruders() -> tuple[np.ndarray, torch.Tensor, torch.Tensor, list[str]]:
    """Which images belong, of twenty kinds of which four do not; their embeddings; those of a reference; their keys."""
    embeddings, is_id = of_kinds(20, 60, seed=5), np.repeat(np.arange(20) >= 4, 60)
    in_reference = np.tile(np.arange(60) >= 40, 20)
    scan, reference = ~in_reference, in_reference & is_id
    keys = [str(number) for number in np.flatnonzero(scan)]
    return is_id[scan], embeddings[torch.from_numpy(scan)], embeddings[torch.from_numpy(reference)], keys


def test_a_reference_helps_a_base_that_knows_next_to_nothing(bank):
    is_id, images, reference, keys = with_intruders()
    methods = {"mcm": MCM(), "reference": Reference(), "consensus": Consensus(base="mcm")}
    found = score_dataset(bank, methods, images, keys, reference=reference).scores
    without = score_dataset(bank, {"mcm": MCM(), "consensus": Consensus(base="mcm")}, images, keys).scores
    assert list(found) == ["mcm", "reference", "consensus"]
    assert area(found["reference"], is_id) > area(found["mcm"], is_id)
    assert area(found["consensus"], is_id) > area(without["consensus"], is_id)
    ignored = {"mcm": MCM(), "consensus": Consensus(base="mcm", reference=False)}
    np.testing.assert_array_equal(
        score_dataset(bank, ignored, images, keys, reference=reference).scores["consensus"], without["consensus"]
    )


@pytest.mark.parametrize("base", ["mcm", "max-cos"])
def test_the_reference_alone_is_the_base_standardised_and_what_it_takes(bank, images, base):
    reference = of_kinds(20, 4, seed=3)
    methods = {"mcm": MCM(0.1), "max-cos": MaxCos(), "reference": Reference(base)}
    found = score_dataset(bank, methods, images, KEYS, reference=reference).scores
    taken = found["reference"] - standard(log_odds(found[base], methods[base]))
    assert ((taken <= 1e-9) & (taken >= -1 - 1e-9)).all()
    assert taken.min() < -0.01


def test_the_order_of_scan_and_reference_changes_no_bit(bank, images):
    reference, methods = (
        of_kinds(20, 4, seed=3),
        {"mcm": MCM(0.1), "reference": Reference(), "consensus": Consensus("mcm", crowding=0.1)},
    )
    found = score_dataset(bank, methods, images, KEYS, reference=reference).scores
    keys = [KEYS[place] for place in ORDER]
    turned = score_dataset(bank, methods, images[ORDER], keys, reference=reference.flip(0)).scores
    for name, scores in found.items():
        np.testing.assert_array_equal(turned[name], scores[ORDER])


def test_a_method_that_needs_a_reference_and_a_reference_whose_base_is_not_asked_for_are_named(bank, images):
    with pytest.raises(ValueError, match="the method reference needs images that are known to belong"):
        score_dataset(bank, {"mcm": MCM(), "reference": Reference()}, images, KEYS)
    with pytest.raises(ValueError, match="reference goes by the scores of neglabel, which is not among the methods"):
        score_dataset(bank, {"mcm": MCM(), "reference": Reference("neglabel")}, images, KEYS, reference=images)
