import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from ood_core.metrics import Metrics, metrics

few_values = st.lists(st.integers(0, 6), min_size=1, max_size=45)  # many ties


def naive_auroc(id_scores, ood_scores):
    return np.mean([1.0 if i > o else 0.5 if i == o else 0.0 for i in id_scores for o in ood_scores])


def naive_fpr95(id_scores, ood_scores):
    """Over the thresholds in the data from the lowest ID score up; of those with equal recall, the lowest."""
    thresholds = sorted(t for t in {*id_scores, *ood_scores} if t >= min(id_scores))
    recalls = [sum(i >= t for i in id_scores) / len(id_scores) for t in thresholds]
    nearest = min(range(len(thresholds)), key=lambda k: (abs(recalls[k] - 0.95), thresholds[k]))
    return sum(o >= thresholds[nearest] for o in ood_scores) / len(ood_scores)


def naive_average_precision(positive, negative):
    area, recall_before = 0.0, 0.0
    for threshold in sorted({*positive, *negative}, reverse=True):
        found, false = sum(p >= threshold for p in positive), sum(n >= threshold for n in negative)
        area += (found / len(positive) - recall_before) * found / (found + false)
        recall_before = found / len(positive)
    return area


@given(few_values, few_values)
def test_metrics_equal_their_definitions_over_all_pairs_and_thresholds(id_scores, ood_scores):
    found = metrics(np.array(id_scores, float), np.array(ood_scores, float))
    assert found.auroc == pytest.approx(naive_auroc(id_scores, ood_scores), abs=1e-12)
    assert found.fpr95 == pytest.approx(naive_fpr95(id_scores, ood_scores), abs=1e-12)
    assert found.aupr_in == pytest.approx(naive_average_precision(id_scores, ood_scores), abs=1e-12)
    negated = [-score for score in ood_scores], [-score for score in id_scores]
    assert found.aupr_out == pytest.approx(naive_average_precision(*negated), abs=1e-12)


@given(few_values, few_values)
def test_metrics_equal_those_of_scikit_learn(id_scores, ood_scores):
    found = metrics(np.array(id_scores, float), np.array(ood_scores, float))
    is_id = np.repeat([1, 0], [len(id_scores), len(ood_scores)])
    scores = np.array([*id_scores, *ood_scores], float)
    assert found.auroc == pytest.approx(roc_auc_score(is_id, scores), abs=1e-12)
    assert found.aupr_in == pytest.approx(average_precision_score(is_id, scores), abs=1e-12)
    assert found.aupr_out == pytest.approx(average_precision_score(1 - is_id, -scores), abs=1e-12)


@pytest.mark.parametrize(
    ("id_scores", "ood_scores", "expected"),
    [
        ([3.0, 4.0], [1.0, 2.0], Metrics(auroc=1.0, fpr95=0.0, aupr_in=1.0, aupr_out=1.0)),
        # Ranked the wrong way round: precision 1/3 and 2/4 at the two ID scores.
        ([1.0, 2.0], [3.0, 4.0], Metrics(auroc=0.0, fpr95=1.0, aupr_in=5 / 12, aupr_out=5 / 12)),
        ([1.0], [1.0], Metrics(auroc=0.5, fpr95=1.0, aupr_in=0.5, aupr_out=0.5)),
        ([2.0, 2.0, 1.0], [2.0, 0.0], Metrics(auroc=2 / 3, fpr95=0.5, aupr_in=25 / 36, aupr_out=0.7)),
        ([np.inf, 1.0], [-np.inf], Metrics(auroc=1.0, fpr95=0.0, aupr_in=1.0, aupr_out=1.0)),
    ],
    ids=["separated", "reversed", "one tie", "by hand", "infinite"],
)
def test_small_cases_come_out_as_by_hand(id_scores, ood_scores, expected):
    found = metrics(np.array(id_scores), np.array(ood_scores))
    assert vars(found) == pytest.approx(vars(expected))


def test_the_threshold_of_fpr95_lets_one_in_twenty_id_images_go():
    id_scores = np.arange(100.0)
    ood_scores = np.array([3.5, 4.5, 5.5, 98.5])  # recall is 95 % at 5 and at 4.5 alike: the lower counts
    assert metrics(id_scores, ood_scores).fpr95 == 0.75


def test_few_well_separated_id_images_have_no_false_positives():
    assert metrics(np.array([7.0, 8.0, 9.0]), np.arange(6.0)).fpr95 == 0.0


def test_metrics_depend_on_the_order_of_scores_alone():
    rng = np.random.default_rng(0)
    id_scores, ood_scores = rng.normal(1, 1, 300), rng.normal(0, 1, 200)
    assert metrics(np.exp(id_scores), np.exp(ood_scores)) == metrics(id_scores, ood_scores)
    assert metrics(id_scores[::-1], rng.permutation(ood_scores)) == metrics(id_scores, ood_scores)


def test_swapping_the_sets_and_the_signs_swaps_the_two_precisions():
    rng = np.random.default_rng(0)
    id_scores, ood_scores = rng.normal(1, 1, 300), rng.normal(0, 1, 200)
    found, swapped = metrics(id_scores, ood_scores), metrics(-ood_scores, -id_scores)
    assert swapped.auroc == pytest.approx(found.auroc)
    assert (swapped.aupr_in, swapped.aupr_out) == pytest.approx((found.aupr_out, found.aupr_in))


@pytest.mark.parametrize(
    ("id_scores", "ood_scores", "message"),
    [
        ([], [1.0], "the ID set has no scores"),
        ([1.0], [], "the OOD set has no scores"),
        ([1.0, np.nan, np.nan], [1.0], "the ID set has 2 scores that are not numbers"),
        ([1.0], [np.nan], "the OOD set has 1 scores that are not numbers"),
    ],
)
def test_missing_scores_are_refused(id_scores, ood_scores, message):
    with pytest.raises(ValueError, match=message):
        metrics(np.array(id_scores, float), np.array(ood_scores, float))
