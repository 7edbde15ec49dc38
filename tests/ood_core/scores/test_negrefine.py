import numpy as np
import pytest
import torch

from ood_core.methods import NegLabel, NegRefine
from ood_core.scores import ImageScorer, Labels
from ood_core.scores.negrefine import PairEmbeddings
from tests.ood_core.conftest import HashEncoder


def naive_multi_matching(image, bank, top_k, temperature):
    """METHODS.md §5 for one image."""
    labels = bank.embeddings.astype(np.float64)
    cosines = labels @ image.astype(np.float64)
    id_cosines, negative_cosines = cosines[: bank.id_count], cosines[bank.id_count :]
    matches = []
    for i in np.argsort(-id_cosines)[:top_k]:
        for j in np.argsort(-negative_cosines)[:top_k]:
            text = f"{bank.texts[i]} and {bank.texts[bank.id_count + j]}"
            pair = HashEncoder(bank.dim)([text]).numpy()[0].astype(np.float64)
            matches.append(1 / (1 + np.exp(-(image @ pair - negative_cosines[j]) / temperature)))
    return max(matches)


@pytest.mark.parametrize(
    ("id_labels", "negatives", "top_k", "dim"), [(12, 40, 5, 32), (1, 1, 5, 2), (2, 30, 5, 8), (9, 3, 4, 1024)]
)
def test_negrefine_is_neglabel_and_the_best_match(bank_of, unit, id_labels, negatives, top_k, dim):
    bank = bank_of(unit(id_labels, dim, seed=1), unit(negatives, dim, seed=2), temperature=0.1)
    images = unit(30, dim, seed=3)
    methods = {"neglabel": NegLabel(10), "negrefine": NegRefine(10, alpha=2.0, top_k=top_k)}
    found = ImageScorer(bank, methods, encode=HashEncoder(dim))(torch.from_numpy(images)).scores
    expected = found["neglabel"] + 2 * np.array([naive_multi_matching(image, bank, top_k, 0.1) for image in images])
    np.testing.assert_allclose(found["negrefine"], expected, atol=1e-5)


def test_every_pair_is_encoded_once_for_all_images(bank_of, unit):
    bank, encoder = bank_of(unit(3, 16, seed=1), unit(20, 16, seed=2)), HashEncoder(16)
    scorer = ImageScorer(bank, {"negrefine": NegRefine()}, encode=encoder)
    scorer(torch.from_numpy(unit(300, 16, seed=3)))
    assert len(encoder.encoded) == len(set(encoder.encoded)) <= 60


def test_a_cache_too_small_for_the_pairs_changes_nothing(bank_of, unit):
    bank, encoder = bank_of(unit(3, 16, seed=1), unit(20, 16, seed=2)), HashEncoder(16)
    labels = Labels.of(bank)
    pairs = PairEmbeddings(labels, encoder, cache_bytes=7 * 4 * 16)
    rng = np.random.default_rng(0)
    for _ in range(20):
        ids, negatives = torch.from_numpy(rng.integers(0, 3, 4)), torch.from_numpy(rng.integers(0, 20, 4))
        texts = [
            f"{labels.texts[i]} and {labels.texts[3 + j]}"
            for i, j in zip(ids.tolist(), negatives.tolist(), strict=True)
        ]
        assert torch.equal(pairs(ids, negatives), HashEncoder(16)(texts))
        assert len(pairs.places) <= 7
    assert 0 < pairs.hit_rate < 1


def test_without_a_text_encoder_it_says_so(bank_of, unit):
    with pytest.raises(ValueError, match="negrefine needs a text encoder"):
        ImageScorer(bank_of(unit(3, 4), unit(5, 4)), {"negrefine": NegRefine()})
