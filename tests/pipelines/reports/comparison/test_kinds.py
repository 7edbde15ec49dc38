"""Kinds that are new: by nearest negative labels, and by anchors without a counterpart."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.reports.comparison.kinds import AT_ONCE, new_kinds, without_counterpart
from tests.pipelines.reports.ended_scans import Made, rows

FLAGS = "is_ood_mcm"


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def labelled(**counts: tuple[int, int]) -> pa.Table:
    """So many images of each negative label, of which so many are flagged."""
    found = [
        (name, 0.1 if row < flagged else 0.9) for name, (images, flagged) in counts.items() for row in range(images)
    ]
    return rows([score for _, score in found], negative_label=[name for name, _ in found])


def found(place: Path, before: pa.Table, after: pa.Table) -> list[tuple[str, int]]:
    scans = [Made({"one": table}).read(place / name) for name, table in (("before", before), ("after", after))]
    return [(kind.value, kind.flagged) for kind in new_kinds(scans[0], scans[1], FLAGS)]


def test_a_negative_label_is_new_if_most_of_it_is_flagged_and_far_more_than_before(tmp_path: Path) -> None:
    before = labelled(old=(40, 30), rising=(20, 10), harmless=(10, 0), rest=(930, 0))
    after = labelled(old=(50, 45), rising=(60, 50), harmless=(90, 9), fresh=(30, 25), rest=(770, 0))
    # `rising` has five times its flags, `fresh` had none; of `harmless` too few are flagged to be a kind.
    assert found(tmp_path, before, after) == [("rising", 50), ("fresh", 25)]


def test_what_chance_explains_is_not_new(tmp_path: Path) -> None:
    before = labelled(rest=(1000, 10))
    after = labelled(**{f"label {number}": (2, 2) for number in range(40)}, rest=(900, 10))
    assert found(tmp_path, before, after) == []


def test_nothing_is_new_in_another_draw_of_the_same_images(tmp_path: Path) -> None:
    random, names = np.random.default_rng(0), [f"label {number}" for number in range(60)]
    weights = random.dirichlet(np.full(60, 0.3))
    draws = []
    for _ in range(2):
        chosen = random.choice(60, 4000, p=weights)
        flagged = random.random(4000) < chosen / 60
        draws.append(rows(np.where(flagged, 0.1, 0.9).tolist(), negative_label=[names[one] for one in chosen]))
    assert found(tmp_path, *draws) == []


def clusters(random: np.random.Generator, centres: np.ndarray, each: int) -> np.ndarray:
    """Anchors close to each of some centres."""
    return unit(np.repeat(centres, each, axis=0) + 0.05 * random.normal(size=(len(centres) * each, centres.shape[1])))


def test_anchors_of_a_cluster_that_was_not_there_have_no_counterpart() -> None:
    random = np.random.default_rng(0)
    centres = unit(random.normal(size=(21, 64)))
    before, again, planted = (clusters(random, part, 10) for part in (centres[:20], centres[:20], centres[20:]))
    alone = without_counterpart(before, np.concatenate([again, planted]))
    assert alone[200:].all()
    assert alone[:200].sum() <= 4  # one in a hundred is usual


def test_the_same_anchors_have_all_a_counterpart() -> None:
    anchors = unit(np.random.default_rng(0).normal(size=(2 * AT_ONCE + 7, 8)))
    assert not without_counterpart(anchors, anchors).any()
    assert not without_counterpart(anchors, anchors[::-1][:5]).any()


def test_with_fewer_than_two_anchors_before_nobody_can_tell() -> None:
    after = unit(np.random.default_rng(0).normal(size=(3, 8)))
    assert without_counterpart(after[:1], after).tolist() == [False] * 3
    assert without_counterpart(after, after[:0]).tolist() == []


def test_many_anchors_are_compared_in_parts_as_at_once() -> None:
    random = np.random.default_rng(0)
    before, after = (unit(random.normal(size=(AT_ONCE + 50, 4))) for _ in range(2))
    cosines = before @ before.T
    np.fill_diagonal(cosines, -np.inf)
    expected = (after @ before.T).max(axis=1) < np.quantile(cosines.max(axis=1), 0.01)
    np.testing.assert_array_equal(without_counterpart(before, after), expected)


def with_anchors(anchors: np.ndarray, nearest: list[int], scores: list[float]) -> Made:
    table = rows({"neglabel": scores, "consensus": scores}, anchor=nearest, negative_label=["flag"] * len(scores))
    return Made({"one": table}, ("neglabel", "consensus"), {"consensus": 0.5}, anchors=anchors)


def test_flagged_anchors_without_a_counterpart_are_new_kinds(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    centres = unit(random.normal(size=(3, 32)))
    before = clusters(random, centres[:2], 8)
    after = np.concatenate([before, centres[2:], -centres[2:]])
    old = with_anchors(before, [0, 1, 2], [0.1, 0.2, 0.9]).read(tmp_path / "before")
    # Anchor 16 is flagged and new, 17 is new and not flagged, 0 is flagged and was there.
    new = with_anchors(after, [0, 16, 16, 17], [0.1, 0.2, 0.1, 0.9]).read(tmp_path / "after")
    assert [(kind.by, kind.value, kind.flagged) for kind in new_kinds(old, new, "is_ood_consensus")] == [
        ("anchor", "16", 2)
    ]


@pytest.mark.parametrize("before", [None, np.eye(4, 5, dtype=np.float32)], ids=["none", "of another size"])
def test_anchors_that_cannot_be_compared_are_left_out(tmp_path: Path, before: np.ndarray | None) -> None:
    old = Made({"one": rows({"consensus": [0.9], "neglabel": [0.9]}, anchor=[0])}, ("neglabel", "consensus"), {
        "consensus": 0.5
    }, anchors=before).read(tmp_path / "before")  # fmt: skip
    new = with_anchors(np.eye(4, 8, dtype=np.float32), [0], [0.1]).read(tmp_path / "after")
    assert new_kinds(old, new, "is_ood_consensus") == []
