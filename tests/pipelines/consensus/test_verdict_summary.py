"""What the summary tells of verdicts, against what is said of each image by a loop over all others."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ood_core.consensus.base import Base, Terms
from ood_core.consensus.verdicts import VerdictSums
from ood_core.consensus.votes import Votes
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.told import Told, told_of_table, verdict_votes
from pipelines.consensus.verdict_summary import LISTED, contradictions, verdict_remarks, verdict_summary
from pipelines.storage import Directory

DIM = 6


def unit(rows: int, random: np.random.Generator) -> np.ndarray:
    drawn = random.normal(size=(rows, DIM))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def drawn(seed: int, count: int, anchor_count: int, nearest: int) -> tuple[pa.Table, np.ndarray]:
    """A table of the votes of some verdicts, by three judges, and the anchors, which lie near to some others."""
    random = np.random.default_rng(seed)
    places = np.stack([random.permutation(anchor_count)[:nearest] for _ in range(count)]).astype(np.int32)
    weights = random.dirichlet(np.ones(nearest), count).astype(np.float32)
    votes = Votes(np.zeros(count), places, weights, random.random(count).astype(np.float32))
    said = {
        "key": pa.array([f"{row}.jpg" if row % 4 else None for row in range(count)], pa.string()),
        "shard": pa.array(["a"] * count, pa.string()),
        "index": pa.array(range(count), pa.int64()),
        "belongs": pa.array(random.choice([0.0, 0.2, 0.3, 0.5, 0.75, 1.0], count)),
        "by": pa.array([("mara", "joe", None)[row % 3] for row in range(count)], pa.string()),
    }
    middle = unit(1, random)[0]
    anchors = unit(anchor_count, random) * random.choice([0.1, 1.0]) + middle
    anchors = (anchors / np.linalg.norm(anchors, axis=1, keepdims=True)).astype(np.float32)
    return verdict_votes(pa.table(said), votes), anchors


def naive(votes: pa.Table, anchors: np.ndarray) -> list[tuple[int, float]]:
    """The rows that contradict all others, surest first, each with how probably its image belongs by the others."""
    rows, found = votes.to_pylist(), []
    wide = anchors.astype(np.float64)
    for number, row in enumerate(rows):
        others = 0.0
        for anchor, weight in zip(row["anchors"], row["weights"], strict=True):
            total = belief = 0.0
            for other in rows[:number] + rows[number + 1 :]:
                for place, part in zip(other["anchors"], other["weights"], strict=True):
                    spread = part * np.exp(20 * (wide[place] @ wide[anchor] - 1))
                    total += spread
                    belief += spread * (2 * other["belongs"] - 1)
            others += weight * belief / (total + 0.3)
        said = 2 * row["belongs"] - 1
        if abs(said) >= 0.5 and abs(others) >= 0.5 and said * others < 0:
            found.append((-abs(said * others), number, (1 + others) / 2))
    return [(number, belongs) for _, number, belongs in sorted(found)]


@given(st.integers(0, 10**6), st.integers(1, 25), st.integers(1, 10), st.integers(1, 4))
@settings(max_examples=40)
def test_contradictions_are_those_of_a_loop_over_all_others(seed: int, count: int, anchors: int, nearest: int) -> None:
    votes, places = drawn(seed, count, anchors, min(nearest, anchors))
    found = contradictions(votes, places, Told.of(votes, places, "digest"))
    expected = naive(votes, places)
    assert [row["index"] for row in found] == [number for number, _ in expected]
    np.testing.assert_allclose([row["others"] for row in found], [belongs for _, belongs in expected], atol=1e-6)
    for row in found:
        assert {name: row[name] for name in ("key", "belongs", "by")} == {
            name: votes[name][row["index"]].as_py() for name in ("key", "belongs", "by")
        }


def test_one_against_many_is_named_and_the_many_are_not() -> None:
    votes, anchors = drawn(0, 9, 3, 2)
    votes = votes.set_column(3, "belongs", pa.array([1.0] * 4 + [0.0] + [1.0] * 4))
    (one,) = contradictions(votes, np.repeat(anchors[:1], 3, axis=0), Told.of(votes, np.repeat(anchors[:1], 3, 0), ""))
    assert (one["index"], one["belongs"]) == (4, 0.0)
    assert one["others"] == pytest.approx((1 + 8 / 8.3) / 2, abs=1e-6)


def summary(place: Path, votes: pa.Table, anchors: np.ndarray, **base: Any) -> dict[str, Any]:
    files, told = ConsensusFiles(Directory(str(place)), "f"), Told.of(votes, anchors, "digest")
    files.put_anchors(anchors)
    files.put_told(told, votes)
    nothing = np.zeros(len(anchors), np.int64)
    made = Base(len(anchors), Terms(verdicts=VerdictSums(0, nothing, nothing), reach=3.0))
    nobody = Votes(np.zeros(0), np.zeros((0, 2), np.int32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    while not made.finished:
        made = made.after(made.sums(nobody))
    return verdict_summary(files, made, told)


def test_images_and_judges_are_counted(tmp_path: Path) -> None:
    votes, anchors = drawn(1, 9, 5, 2)
    votes = votes.set_column(3, "belongs", pa.array([1.0, 1.0, 0.0, 0.5, 0.75, 0.2, 0.0, 0.0, 1.0]))
    found = summary(tmp_path, pa.concat_tables([votes, votes.slice(2, 1)]), anchors)
    assert (found["verdicts"], found["images"], found["belong"], found["do_not_belong"]) == (10, 9, 4, 5)
    assert found["by"] == {"": 4, "mara": 3, "joe": 3}
    assert (found["raised"], found["lowered"]) == (0, 0)
    assert found["contradicted"] == len(naive(pa.concat_tables([votes, votes.slice(2, 1)]), anchors))


def test_images_without_a_place_are_told_apart_by_what_they_look_like(tmp_path: Path) -> None:
    votes, anchors = drawn(2, 9, 5, 2)
    for place, name in enumerate(("key", "shard", "index")):
        votes = votes.set_column(place, name, pa.nulls(9, votes.schema.field(name).type))
    assert summary(tmp_path, votes, anchors)["images"] == 9


def test_of_many_contradictions_the_surest_are_listed(tmp_path: Path) -> None:
    count = 8 * LISTED
    votes, anchors = drawn(3, count, 3, 2)
    votes = votes.set_column(3, "belongs", pa.array([1.0] * (count - LISTED - 7) + [0.0] * (LISTED + 7)))
    found = summary(tmp_path, votes, np.repeat(anchors[:1], 3, axis=0))
    assert found["contradicted"] == LISTED + 7 and len(found["contradictions"]) == LISTED


@given(st.integers(0, 10**6), st.integers(0, 25))
@settings(max_examples=20)
def test_what_verdicts_say_comes_back_from_its_table(seed: int, count: int) -> None:
    votes, anchors = drawn(seed, max(count, 1), 7, 3)
    told = Told.of(votes.slice(0, count), anchors, "digest")
    found = told_of_table(told.table())
    assert (found.sums.count, found.digest, found.by) == (count, "digest", told.by)
    assert found.sums.weights.tolist() == told.sums.weights.tolist()
    assert found.sums.beliefs.tolist() == told.sums.beliefs.tolist()


def test_who_has_said_most_of_an_anchor_is_named_unless_little_is_said() -> None:
    anchors = np.eye(3, DIM, dtype=np.float32)
    places, weights = np.array([[0, 1], [0, 1], [1, 0]], np.int32), np.array([[0.6, 0.4], [0.9, 0.1], [0.9, 0.1]])
    votes = Votes(np.zeros(3), places, weights.astype(np.float32), np.ones(3, np.float32))
    said = {"key": ["a", "b", "c"], "shard": ["s"] * 3, "index": [0, 1, 2], "belongs": [1.0, 1.0, 0.0]}
    table = verdict_votes(pa.table({**said, "by": ["mara", "joe", None]}), votes)
    assert Told.of(table, anchors, "").by.to_pylist() == ["joe", None, None]
    weak = table.set_column(6, "weights", pa.FixedSizeListArray.from_arrays(pa.array([0.1] * 6, pa.float32()), 2))
    assert Told.of(weak.slice(0, 1), anchors, "").by.to_pylist() == [None] * 3


def test_remarks_are_a_line_each_and_none_without_verdicts() -> None:
    assert list(verdict_remarks({})) == []
    found = {"verdicts": 30, "images": 20, "by": {"mara": 20, "": 10}, "raised": 5, "lowered": 7, "contradicted": 0}
    found |= {"scan_images": 500}
    first = (
        "verdicts: 30 on 20 images (20 by mara, 10 by somebody); they raise 5 and lower 7 images by 0.5 standard "
        "deviations or more"
    )
    assert list(verdict_remarks({"verdicts": found})) == [first]
    assert list(verdict_remarks({"verdicts": {**found, "scan_images": 499}})) == [
        first, "verdicts: among 499 images, what is said of one may be wrong of its neighbours"
    ]  # fmt: skip
    _, said = verdict_remarks({"verdicts": {**found, "verdicts": 19}})
    assert said == "verdicts: 19 are few and may do harm; 20 and more say something"
    one = {"key": "a\nb.jpg", "belongs": 1.0, "by": None, "others": 0.0417}
    _, said = verdict_remarks({"verdicts": {**found, "contradicted": 9, "contradictions": [one]}})
    assert said == (
        "verdicts: 9 say the opposite of what others say of images like theirs, 'a\\nb.jpg' (1 by somebody, 0.04 by "
        "the others) first; summary.json lists them"
    )
