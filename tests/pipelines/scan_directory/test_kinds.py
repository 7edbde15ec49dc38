"""Kinds of images of which most is flagged, and the choice of them for the gallery."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.scan_directory.breakdown import COUNT, NO_COUNTS, breakdown
from pipelines.scan_directory.kinds import flagged_choices, gallery_choices, kinds_of, number_of
from pipelines.scan_directory.receipts import receipt_of, receipts_table
from pipelines.scan_directory.summary import Tally

SCORES, FLAGS = "score_mcm", "is_ood_mcm"
HAMMER = 7142141298798076
"""The number of the kind of a negative label of this name."""


def counts(by: str, **values: tuple[int, int, int]) -> pa.StructArray:
    """Counts by value: how many images, how many of them are flagged, and the sum of their scores in millionths."""
    found = [
        {"by": by, "value": value, "what": what, "count": count}
        for value, told in values.items()
        for what, count in zip(("images", FLAGS, "score"), told, strict=True)
        if count
    ]
    return pa.array(found, COUNT)


def test_kinds_come_by_most_flagged_then_lowest_score_then_name() -> None:
    found = kinds_of(
        counts("negative", b=(4, 3, 800_000), a=(4, 3, 800_000), low=(4, 3, 400_000), most=(9, 9, 9_000_000)), FLAGS
    )
    assert [(kind.value, kind.images, kind.flagged, kind.score) for kind in found] == [
        ("most", 9, 9, 1.0),
        ("low", 4, 3, 0.1),
        ("a", 4, 3, 0.2),
        ("b", 4, 3, 0.2),
    ]


def test_a_kind_is_one_of_which_at_least_half_is_flagged() -> None:
    found = kinds_of(counts("negative", half=(4, 2, 1), less=(5, 2, 1), none=(3, 0, 1), unscored=(0, 0, 0)), FLAGS)
    assert [kind.value for kind in found] == ["half"]


def test_no_more_kinds_are_told_than_asked_for_and_what_is_counted_together_is_none() -> None:
    many = counts("negative", **{f"label {number:02d}": (2, 2, 1) for number in range(30)}, **{"…": (99, 99, 1)})
    assert [kind.value for kind in kinds_of(many, FLAGS)] == [f"label {number:02d}" for number in range(24)]
    assert [kind.value for kind in kinds_of(many, FLAGS, most=2)] == ["label 00", "label 01"]


def test_anchors_tell_kinds_apart_where_there_are_some() -> None:
    both = pa.concat_arrays([counts("negative", flag=(2, 2, 1)), counts("anchor", **{"7": (2, 2, 1), "8": (2, 0, 1)})])
    assert [(kind.by, kind.value, kind.number) for kind in kinds_of(both, FLAGS)] == [("anchor", "7", 7)]
    assert kinds_of(NO_COUNTS, FLAGS) == []


def test_by_another_method_other_images_are_flagged() -> None:
    assert kinds_of(counts("negative", flag=(2, 2, 1)), "is_ood_max_cos") == []


def test_the_number_of_a_kind_is_its_anchor_or_depends_on_its_label_alone() -> None:
    assert number_of("anchor", "123") == 123
    assert number_of("negative", "hammer") == HAMMER
    assert 0 <= number_of("negative", "höhe") < 2**56


def rows(**columns: Any) -> pa.Table:
    kinds = {SCORES: pa.float64(), FLAGS: pa.bool_(), "anchor": pa.int64(), "negative_label": pa.string()}
    count = len(columns[FLAGS])
    table = {"index": pa.array(range(count), pa.int64()), "key": [""] * count, "status": ["ok"] * count}
    return pa.table(table | {name: pa.array(values, kinds[name]) for name, values in columns.items()})


def places(found: pa.StructArray) -> list[tuple[int, int]]:
    return [(row["step"], row["index"]) for row in found.to_pylist()]


def test_the_flagged_images_of_the_lowest_scores_are_chosen_of_every_kind() -> None:
    # Of seven flagged images of anchor 5 the four lowest, the earlier of equals; row 2 is not flagged.
    table = rows(
        score_mcm=[0.9, 0.2, 0.0, 0.5, 0.2, 0.1, 0.9, 0.2, 0.7],
        is_ood_mcm=[True, True, False, True, True, True, True, True, True],
        anchor=[5, 5, 5, 5, 5, 5, 2, 5, 5],
        negative_label=["flag"] * 9,
    )
    found = flagged_choices("s", table, SCORES, FLAGS)
    assert places(found) == [(2, 6), (5, 5), (5, 1), (5, 4), (5, 7)]
    assert found.to_pylist()[1] == {
        "column": SCORES, "kind": "flagged", "step": 5, "order": 0.1, "shard": "s", "index": 5,
    }  # fmt: skip


def test_without_anchors_the_negative_labels_are_the_kinds() -> None:
    table = rows(
        score_mcm=[0.2, 0.1, None, 0.3],
        is_ood_mcm=[True, True, None, True],
        negative_label=["hammer", "hammer", None, None],
    )
    assert places(flagged_choices("s", table, SCORES, FLAGS)) == [(HAMMER, 1), (HAMMER, 0)]


@pytest.mark.parametrize("columns", [{}, {"negative_label": ["flag"]}], ids=["no kinds", "none flagged"])
def test_where_there_are_no_kinds_or_no_flags_nothing_is_chosen(columns: dict[str, Any]) -> None:
    flags = [not columns]
    assert len(flagged_choices("s", rows(score_mcm=[0.1], is_ood_mcm=flags, **columns), SCORES, FLAGS)) == 0


def tallied(shard: str, table: pa.Table) -> pa.Table:
    """The receipt of a shard with flags, as the tasks make it."""
    receipt = receipt_of(shard, table, b"")
    choices = pa.concat_arrays([receipt["choices"], flagged_choices(shard, table, SCORES, FLAGS)])
    return receipts_table([receipt | {"choices": choices, "breakdown": breakdown(table, SCORES, "folder")}])


def test_of_what_is_flagged_the_gallery_shows_the_kinds_of_most_of_the_scan() -> None:
    # Anchor 1 has its one flagged image in the first shard, and three that are not flagged in the second.
    tally = Tally()
    tally.add(tallied("s0", rows(score_mcm=[0.1, 0.2, 0.3], is_ood_mcm=[True, True, True], anchor=[1, 2, 3])))
    tally.add(tallied("s1", rows(score_mcm=[0.6, 0.7, 0.8], is_ood_mcm=[False] * 3, anchor=[1, 1, 1])))
    kinds = np.array(tally.choices().field("kind").to_pylist())
    shown = gallery_choices(tally, "mcm").to_pylist()
    assert [(row["step"], row["shard"]) for row in shown if row["kind"] == "flagged"] == [(2, "s0"), (3, "s0")]
    assert len(shown) == len(kinds) - 1
    assert [row for row in shown if row["kind"] != "flagged"] == [
        row for row in tally.choices().to_pylist() if row["kind"] != "flagged"
    ]
    assert len(gallery_choices(Tally(), "mcm")) == 0
