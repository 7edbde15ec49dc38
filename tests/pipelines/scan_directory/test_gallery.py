import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.scan_directory.gallery import LIMITS, NO_CHOICES, STEPS, choices, merged, steps_of

SHARDS = 6


def chosen(shard: int, scores: list[float]) -> pa.StructArray:
    """A shard's choice by a column of these scores."""
    return choices(str(shard), {"score_mcm": np.array(scores)}, [f"{shard}-{row}" for row in range(len(scores))])


def places(found: pa.StructArray, kind: str) -> list[tuple[str, int]]:
    return [(row["shard"], row["index"]) for row in found.to_pylist() if row["kind"] == kind]


def test_those_of_the_lowest_and_highest_scores_are_chosen_of_all_shards() -> None:
    scores = np.random.default_rng(0).normal(size=(SHARDS, 100))
    found = merged(pa.concat_arrays([chosen(shard, row.tolist()) for shard, row in enumerate(scores)]))
    order = [(str(place // 100), place % 100) for place in np.argsort(scores, axis=None).tolist()]
    assert places(found, "lowest") == order[: LIMITS["lowest"]]
    assert places(found, "highest") == order[::-1][: LIMITS["highest"]]


def test_some_of_every_step_are_chosen_and_no_more() -> None:
    scores = np.random.default_rng(0).beta(8, 1, size=(SHARDS, 500))
    found = merged(pa.concat_arrays([chosen(shard, row.tolist()) for shard, row in enumerate(scores)]))
    steps, counts = np.unique(steps_of(scores.ravel()), return_counts=True)
    shown = [steps_of(scores[int(shard), index]) for shard, index in places(found, "spread")]
    assert np.unique(shown).tolist() == steps.tolist()
    assert np.unique(shown, return_counts=True)[1].tolist() == np.minimum(counts, LIMITS["spread"]).tolist()


def test_steps_are_of_one_width_up_to_one_and_wider_beyond() -> None:
    assert steps_of(np.array([0.0, 0.999 / STEPS, 1 / STEPS, 0.999, 1.0, np.e, 36.7])).tolist() == [
        *(0, 0, 1, STEPS - 1, STEPS, 2 * STEPS, 147)
    ]
    assert steps_of(np.array([-0.5 / STEPS, -1.0, -np.e])).tolist() == [-1, -STEPS, -2 * STEPS]


def test_images_without_a_score_are_never_chosen() -> None:
    found = chosen(0, [float("nan"), 0.5, float("nan")])
    assert places(found, "lowest") == places(found, "highest") == places(found, "spread") == [("0", 1)]
    assert len(chosen(0, [])) == len(chosen(0, [float("nan")])) == 0


@given(st.lists(st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.51, 1.0, 7.0]), max_size=40), max_size=SHARDS), st.data())
def test_the_choice_is_the_same_in_whatever_order_and_parts_it_is_merged(shards: list, data: st.DataObject) -> None:
    parts = [chosen(shard, scores) for shard, scores in enumerate(shards)]
    expected = merged(pa.concat_arrays([NO_CHOICES, *parts]))
    shuffled = data.draw(st.permutations(parts))
    cut = data.draw(st.integers(0, len(parts)))
    halves = [merged(pa.concat_arrays([NO_CHOICES, *half])) for half in (shuffled[:cut], shuffled[cut:])]
    assert merged(pa.concat_arrays(halves)).equals(expected)
