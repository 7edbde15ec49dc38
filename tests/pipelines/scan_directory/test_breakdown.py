"""Counts of images by value: those of a naive count, in whatever order and parts they are added up."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.scan_directory import breakdown as breakdown_module
from pipelines.scan_directory.breakdown import COUNT, NO_COUNTS, OTHERS, added_up, breakdown, counts_by, folders

IMAGE: dict[str, Any] = {
    "key": "a/1.jpg", "status": "ok", "id_label": "cat", "id_probability": 0.75, "negative_label": "flag", "anchor": 3,
    "score_mcm": 0.5, "is_ood_mcm": False, "is_ood_max_cos": True, "camera": 7,
}  # fmt: skip
KINDS = {
    "key": pa.string(), "status": pa.string(), "id_label": pa.string(), "id_probability": pa.float64(),
    "negative_label": pa.string(), "anchor": pa.int64(), "score_mcm": pa.float64(), "is_ood_mcm": pa.bool_(),
    "is_ood_max_cos": pa.bool_(), "camera": pa.int64(),
}  # fmt: skip
UNSCORED = dict.fromkeys(name for name in IMAGE if name not in ("key", "status", "camera"))

keys = st.sampled_from([None, "1.jpg", "a/1.jpg", "a/2.jpg", "a/b/1.jpg"])
cameras = st.sampled_from([None, 1, 2])
scored = st.fixed_dictionaries(
    {
        "key": keys,
        "status": st.just("ok"),
        "id_label": st.sampled_from(["cat", "dog"]),
        "id_probability": st.floats(0, 1),
        "negative_label": st.sampled_from(["flag", "…", "hammer"]),
        "anchor": st.integers(0, 2),
        "score_mcm": st.floats(-100, 100),
        "is_ood_mcm": st.booleans(),
        "is_ood_max_cos": st.booleans(),
        "camera": cameras,
    }
)
unscored = st.fixed_dictionaries({"key": keys, "status": st.just("unreadable-image"), "camera": cameras}).map(
    lambda image: UNSCORED | image
)
some_images = st.lists(scored | unscored, max_size=30)


def rows(images: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(images, pa.schema(KINDS))


def naive(images: list[dict[str, Any]], group_by: str = "folder") -> dict[tuple[str, str, str], int]:
    """The counts, one image after the other."""
    counts = Counter[tuple[str, str, str]]()
    for image in images:
        values = {"label": image["id_label"], "negative": image["negative_label"], "anchor": image["anchor"]}
        values["group"] = image[group_by] if group_by != "folder" else image["key"]
        if group_by == "folder" and image["key"] is not None:
            values["group"] = "/".join(image["key"].split("/")[:-1])
        amounts = {
            "images" if image["status"] == "ok" else "errors": 1,
            "sure": round((image["id_probability"] or 0) * 1e6),
            "score": round((image["score_mcm"] or 0) * 1e6),
            **{name: int(bool(image[name])) for name in ("is_ood_mcm", "is_ood_max_cos")},
        }
        for by, value in values.items():
            for what, amount in amounts.items() if value is not None else ():
                counts[by, str(value), what] += amount
    return {place: count for place, count in counts.items() if count}


def counted(found: pa.StructArray) -> dict[tuple[str, str, str], int]:
    return {(row["by"], row["value"], row["what"]): row["count"] for row in found.to_pylist()}


@given(some_images, st.sampled_from(["folder", "camera"]))
def test_the_counts_of_a_shard_are_those_of_a_naive_count(images: list[dict[str, Any]], group_by: str) -> None:
    assert counted(breakdown(rows(images), "score_mcm", group_by)) == naive(images, group_by)


@given(st.lists(some_images, max_size=4), st.randoms(use_true_random=False))
def test_shards_add_up_to_the_counts_of_all_images(shards: list[list[dict[str, Any]]], random: Any) -> None:
    parts = [breakdown(rows(images), "score_mcm", "folder") for images in shards]
    random.shuffle(parts)
    found = counted(added_up(pa.concat_arrays([NO_COUNTS, *parts])))
    all_images = [image for images in shards for image in images]
    assert {place: count for place, count in found.items() if count} == naive(all_images)


def counts(*found: tuple[str, str, int]) -> pa.StructArray:
    rows = [{"by": by, "value": value, "what": "images", "count": count} for by, value, count in found]
    return pa.concat_arrays([NO_COUNTS, pa.array(rows, COUNT)])


some_counts = st.lists(
    st.tuples(st.sampled_from(["group", "label"]), st.sampled_from([*"abcdefgh", OTHERS, "~"]), st.integers(-3, 9)),
    max_size=25,
)


@pytest.mark.parametrize("most", [3, 65536])
@given(drawn=st.tuples(some_counts, some_counts, some_counts))
def test_counts_are_the_same_in_whatever_order_and_parts_they_are_added_up(most: int, drawn: Any) -> None:
    one, two, three = (counts(*found) for found in drawn)

    def added(*parts: pa.StructArray) -> pa.StructArray:
        return added_up(pa.concat_arrays(list(parts)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(breakdown_module, "MOST_VALUES", most)
        expected = added(one, two, three)
        assert added(added(one, two), three).equals(expected)
        assert added(one, added(two, three)).equals(expected)
        assert added(three, one, two).equals(expected)
        assert added(expected, NO_COUNTS).equals(expected)
    assert sum(row["count"] for row in expected.to_pylist()) == sum(count for part in drawn for *_, count in part)


def test_values_beyond_the_first_by_name_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakdown_module, "MOST_VALUES", 2)
    groups = [("group", value, count) for value, count in {"d": 1, "b": 2, "c": 4, "a": 8}.items()]
    found = added_up(counts(*groups, ("label", "d", 5)))
    assert counted(found) == {
        ("group", "a", "images"): 8,
        ("group", "b", "images"): 2,
        ("group", "…", "images"): 5,
        ("label", "d", "images"): 5,
    }


def test_the_counts_of_one_kind_are_told_by_value() -> None:
    images = [IMAGE, IMAGE | {"id_label": "ant", "is_ood_mcm": True}, UNSCORED | {"key": "b/1.jpg", "status": "bad"}]
    found = breakdown(rows([{"camera": None} | image for image in images]), "score_mcm", "folder")
    assert counts_by(found, "label") == {
        "ant": {"images": 1, "sure": 750_000, "score": 500_000, "is_ood_mcm": 1, "is_ood_max_cos": 1},
        "cat": {"images": 1, "sure": 750_000, "score": 500_000, "is_ood_max_cos": 1},
    }
    assert list(counts_by(found, "label")) == ["ant", "cat"]
    assert counts_by(found, "group")["b"] == {"errors": 1}
    assert counts_by(found, "camera") == {}


@pytest.mark.parametrize("score", [float("inf"), float("-inf"), float("nan")])
def test_a_score_that_is_not_finite_adds_nothing(score: float) -> None:
    found = breakdown(rows([IMAGE | {"score_mcm": score}]), "score_mcm", "folder")
    assert counts_by(found, "label") == {"cat": {"images": 1, "sure": 750_000, "is_ood_max_cos": 1}}


def test_tables_without_labels_anchors_or_the_group_are_counted_by_what_they_have() -> None:
    table = rows([IMAGE]).select(["key", "status", "score_mcm"])
    assert set(counted(breakdown(table, "score_mcm", "camera"))) == set()
    assert counted(breakdown(table, "score_mcm", "folder")) == {
        ("group", "a", "images"): 1,
        ("group", "a", "score"): 500_000,
    }


def test_a_folder_is_what_stands_before_the_last_slash() -> None:
    assert folders(["a/b/c.jpg", "a/", "/c", "c.jpg", "", None]).to_pylist() == ["a/b", "a", "", "", "", None]
