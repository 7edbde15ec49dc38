"""TANL against the authors' own stream and against our order-free rounds (METHODS.md §11)."""

from functools import cache

import numpy as np
import pytest
import torch

from ood_core.methods.tanl import TANL
from ood_core.scores import Labels
from ood_core.scores.tanl import TANLScorer, tanl
from ood_core.scores.tanl_rounds import TANLRounds, run_rounds
from ood_core.scores.tanl_sequential import SequentialTANL, TANLBatch
from tests.conformance.given import Vectors, bank, keys, vectors

FILES = ["tanl_step1", "tanl_step0", "tanl_step2_short"]
ALPHAS = [0.0, 0.5, 1.0]
every_file = pytest.mark.parametrize("file", FILES)
every_alpha = pytest.mark.parametrize("alpha", ALPHAS)


def parameters(given: Vectors, **more) -> TANL:
    names = "labels_kept", "step", "memory_length", "score_window"
    return TANL(**{name: int(given[name]) for name in names}, gap=float(given["gap"]), **more)


@cache
def stream(file: str, alpha: float) -> tuple[np.ndarray, list[TANLBatch], SequentialTANL]:
    """The scores of all images, what each batch found, and the scorer after the last."""
    given = vectors(file)
    scorer = SequentialTANL(
        parameters(given, order="sequential", alpha=alpha),
        Labels.of(bank(given)),
        torch.from_numpy(given["noise_image"]),
        given["start_id_rows"],
        given["start_noise_rows"],
    )
    scores, batches = [], []
    for start in range(0, len(given["image"]), int(given["batch"])):
        images = slice(start, start + int(given["batch"]))
        scores.append(scorer(torch.from_numpy(given["image"][images]), keys(given)[images]).numpy())
        assert scorer.last is not None
        batches.append(scorer.last)
    return np.concatenate(scores), batches, scorer


@cache
def rounds(file: str, count: int) -> TANLRounds:
    given = vectors(file)
    noise, images = torch.from_numpy(given["noise_image"]), torch.from_numpy(given["image"])
    return run_rounds(parameters(given, rounds=count), Labels.of(bank(given)), noise, images.split(100))


def same_labels(file: str, found: np.ndarray, given: np.ndarray) -> None:
    """In the same order; with step 0, where order does not matter, the same set."""
    ordered = (lambda rows: np.sort(rows, axis=-1)) if file == "tanl_step0" else np.asarray
    np.testing.assert_array_equal(ordered(found), ordered(given))


@every_file
@every_alpha
def test_thresholds_and_first_passes_are_the_authors_whatever_alpha(file, alpha):
    given, (_, batches, _) = vectors(file), stream(file, alpha)
    thresholds = [batch.threshold for batch in batches]
    np.testing.assert_allclose(thresholds, given["threshold"], rtol=0, atol=1e-6)
    found = np.stack([batch.first_activation for batch in batches])
    np.testing.assert_allclose(found, given["activation_first"], rtol=0, atol=2e-6)
    same_labels(file, np.stack([batch.first_chosen for batch in batches]), given["chosen_first"])
    scores = np.concatenate([batch.first_score for batch in batches])
    np.testing.assert_allclose(scores, given["score_first"], rtol=0, atol=1e-5)


@every_file
@every_alpha
def test_confident_images_and_the_queues_are_the_authors_whatever_alpha(file, alpha):
    given, (_, batches, scorer) = vectors(file), stream(file, alpha)
    np.testing.assert_array_equal(np.concatenate([batch.confident_id for batch in batches]), given["confident_id"])
    np.testing.assert_array_equal(np.concatenate([batch.confident_ood for batch in batches]), given["confident_ood"])
    np.testing.assert_allclose(scorer.id_queue.rows, given["final_id_rows"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(scorer.ood_queue.rows, given["final_ood_rows"], rtol=0, atol=1e-5)


@every_file
@every_alpha
def test_final_scores_and_what_they_come_from_are_the_authors(file, alpha):
    given, (scores, batches, _) = vectors(file), stream(file, alpha)
    found = np.stack([batch.activation for batch in batches])
    np.testing.assert_allclose(found, given[f"activation_alpha{alpha:g}"], rtol=0, atol=2e-6)
    same_labels(file, np.stack([batch.chosen for batch in batches]), given[f"chosen_alpha{alpha:g}"])
    np.testing.assert_allclose(scores, given[f"score_alpha{alpha:g}"], rtol=0, atol=1e-5)


@every_file
def test_at_alpha_1_the_score_is_the_first_pass_to_the_bit(file):
    scores, batches, _ = stream(file, 1.0)
    np.testing.assert_array_equal(scores, np.concatenate([batch.first_score for batch in batches]))


@every_file
def test_order_free_rounds_find_the_thresholds_and_labels(file):
    given, found = vectors(file), rounds(file, 2)
    np.testing.assert_allclose([each.threshold for each in found.rounds], given["ours_threshold"], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.chosen, given["ours_chosen"])


@every_file
@pytest.mark.parametrize("count", [1, 2])
def test_scores_after_order_free_rounds_are_exact_from_exact_cosines(file, count):
    given, chosen = vectors(file), rounds(file, count).chosen
    images, id_labels, corpus = (torch.from_numpy(given[name]).double() for name in ("image", "id_text", "neg_text"))
    found = tanl(images @ id_labels.T, images @ corpus[chosen].T, int(given["step"]), 0.01)
    np.testing.assert_allclose(found, given[f"ours_score_rounds{count}"], rtol=0, atol=1e-9)


@every_file
def test_scores_after_order_free_rounds_from_float32_are_near_that(file):
    given = vectors(file)
    scorer = TANLScorer(Labels.of(bank(given)), rounds(file, 2).chosen, int(given["step"]))
    found = scorer.scores(torch.from_numpy(given["image"]))
    np.testing.assert_allclose(found, given["ours_score_rounds2"], rtol=0, atol=1e-5)
