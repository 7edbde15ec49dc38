"""GL-MCM against METHODS.md §2 written out."""

import math

import numpy as np
import pytest
import torch

from ood_core.encoders import ClipEncoder
from ood_core.methods import GLMCM, MCM
from ood_core.scores import ImageScorer
from ood_core.scores.gl_mcm import local_mcm

AXES = np.eye(4, dtype=np.float32)


def written_out(image: np.ndarray, places: np.ndarray, labels: np.ndarray, temperature: float, weight: float) -> float:
    """§2, one image, in float64."""

    def largest_softmax(feature: np.ndarray) -> float:
        exponentials = [math.exp(float(feature.astype(float) @ label.astype(float)) / temperature) for label in labels]
        return max(exponentials) / sum(exponentials)

    return largest_softmax(image) + weight * max(largest_softmax(place) for place in places)


@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 1.0), (1.0, 0.5), (0.1, 1.0), (0.02, 2.0), (1.0, 0.0)])
def test_the_score_is_that_of_the_method_written_out(bank_of, unit, temperature, weight):
    labels, images = unit(7, 32, seed=1), unit(70, 32, seed=2)
    places = unit(70 * 9, 32, seed=3).reshape(70, 9, 32)
    scorer = ImageScorer(bank_of(labels, unit(5, 32, seed=4)), {"gl-mcm": GLMCM(temperature, weight)})
    found = scorer(torch.from_numpy(images), torch.from_numpy(places)).scores["gl-mcm"]
    expected = [written_out(*pair, labels, temperature, weight) for pair in zip(images, places, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_case_by_hand(bank_of):
    """The image between both labels: ½. One place on the first label, one at right angles: e / (e + 1) and ½."""
    image = torch.tensor([[math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0]])
    places = torch.from_numpy(AXES[[0, 3]])[None]
    found = ImageScorer(bank_of(AXES[:2], AXES[2:]), {"gl-mcm": GLMCM()})(image, places).scores["gl-mcm"]
    assert found == pytest.approx([0.5 + math.e / (math.e + 1)], abs=1e-6)


def test_one_place_says_as_much_as_many_beside_it():
    cosines = torch.tensor([[[0.9, 0.1], [0.5, 0.5], [0.4, 0.5]], [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]])
    one, many = local_mcm(cosines, 1.0)
    assert one == many


def test_without_weight_the_places_do_not_count(bank_of, unit):
    bank, images = bank_of(unit(3, 16, seed=1), unit(2, 16, seed=2)), torch.from_numpy(unit(5, 16, seed=3))
    places = torch.from_numpy(unit(20, 16, seed=4)).view(5, 4, 16)
    found = ImageScorer(bank, {"gl-mcm": GLMCM(local_weight=0.0), "mcm": MCM()})(images, places).scores
    np.testing.assert_array_equal(found["gl-mcm"], found["mcm"])


def test_embeddings_alone_are_not_enough(bank_of, unit):
    scorer = ImageScorer(bank_of(unit(3, 16), unit(2, 16)), {"gl-mcm": GLMCM()})
    with pytest.raises(ValueError, match="gl-mcm needs local features, which come from the images themselves"):
        scorer(torch.from_numpy(unit(2, 16)))


def test_from_pictures_to_scores_each_row_is_its_own(bank_of, tiny_model, unit):
    encoder = ClipEncoder.load(tiny_model("clip"), image_block=4)
    scorer = ImageScorer(bank_of(unit(5, 24, seed=1), unit(3, 24, seed=2)), {"gl-mcm": GLMCM(temperature=0.1)})
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8))
    together = scorer(*encoder.encode_images_locally(pixels)).scores["gl-mcm"]
    alone = [scorer(*encoder.encode_images_locally(part)).scores["gl-mcm"] for part in pixels.split(9)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
