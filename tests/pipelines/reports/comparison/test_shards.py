"""Shards, labels and groups of two scans, against counts made by hand."""

from pathlib import Path

import pytest

from pipelines.reports.comparison.shards import Change, Part, changed_shards, changed_values, risen
from pipelines.reports.ended import EndedScan
from tests.pipelines.reports.ended_scans import Made, rows

FLAGS = "is_ood_mcm"
BROKEN = {"status": ["ok", "truncated-archive"]}


def changes(place: Path, before: Made, after: Made) -> dict[str, Change]:
    """The changes of shards by the names that `Made` gives them."""
    scans = before.read(place / "before"), after.read(place / "after")
    return {change.name.rpartition("-")[0]: change for change in changed_shards(*scans, FLAGS)}


def test_shards_are_new_gone_changed_or_the_same(tmp_path: Path) -> None:
    before = Made({"same": rows([0.1, 0.9]), "changed": rows([0.9] * 4), "gone": rows([0.1])})
    after = Made(
        {"same": rows([0.1, 0.9]), "new": rows([0.1, None]), "changed": rows([0.1] * 3)}, versions={"changed": "2"}
    )
    found = changes(tmp_path, before, after)
    whole = Part(7, 2)
    assert {name: (one.state, one.before, one.after, one.usual) for name, one in found.items()} == {
        "changed": ("changed", Part(4, 0), Part(3, 3), Part(4, 0)),
        "new": ("new", Part(), Part(1, 1, 1), whole),
        "gone": ("gone", Part(1, 1), Part(), Part(1, 1)),
        "same": ("same", Part(2, 1), Part(2, 1), Part(2, 1)),
    }
    assert [one.more for one in found.values()] == [1.0, pytest.approx(5 / 7), 0.0, 0.0]
    assert list(found) == ["changed", "new", "gone", "same"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (["ok", "ok"], ["ok", "truncated-archive"], "1 truncated-archive"),
        (["ok", "empty-file"], ["damaged-archive", "truncated-archive"], "1 damaged-archive, 1 truncated-archive"),
        (["ok", "truncated-archive"], ["ok", "truncated-archive"], ""),
        (["ok", "truncated-archive"], ["truncated-archive"] * 2, "2 truncated-archive"),
        (["ok", "ok"], ["ok", "unreadable-image"], ""),
        (None, ["ok", "crashed-worker"], "1 crashed-worker"),
        (["ok", "truncated-archive"], ["ok", "ok"], ""),
    ],
)
def test_shards_are_newly_broken_by_errors_of_archives_that_they_had_not(
    tmp_path: Path, before: list[str] | None, after: list[str], said: str
) -> None:
    def made(statuses: list[str] | None) -> Made:
        scored = [0.9 if status == "ok" else None for status in statuses or ()]
        shards = {"one": rows(scored, status=statuses)} if statuses else {}
        return Made({"other": rows([0.9]), **shards})

    assert changes(tmp_path, made(before), made(after))["one"].broken == said


def test_a_shard_that_is_gone_is_not_newly_broken(tmp_path: Path) -> None:
    before, after = Made({"one": rows([0.9]), "two": rows([0.9, None], **BROKEN)}), Made({"one": rows([0.9])})
    assert changes(tmp_path, before, after)["two"].broken == ""


def labels(place: Path, before: dict[str, int], after: dict[str, int]) -> list[Change]:
    """The changes of labels, of each of which so many images are scored, those of two and more flagged."""
    scans: list[EndedScan] = []
    for name, counts in (("before", before), ("after", after)):
        found = [(label, 0.1 if number > 1 else 0.9) for label, count in counts.items() for number in range(count)]
        table = rows([score for _, score in found], id_label=[label for label, _ in found])
        scans.append(Made({"one": table}).read(place / name))
    return changed_values(scans[0], scans[1], "label", FLAGS)


def test_labels_appear_vanish_or_stay(tmp_path: Path) -> None:
    found = labels(tmp_path, {"cat": 3, "dog": 2}, {"cat": 4, "horse": 5})
    assert [(one.name, one.state, one.before, one.after, one.usual) for one in found] == [
        ("horse", "new", Part(), Part(5, 3), Part(5, 1)),
        ("cat", "same", Part(3, 1), Part(4, 2), Part(3, 1)),
        ("dog", "gone", Part(2, 0), Part(), Part(2, 0)),
    ]


def test_groups_are_compared_as_labels_are(tmp_path: Path) -> None:
    before = Made({"one": rows([0.9, 0.9], key=["a/0", "b/0"])}).read(tmp_path / "before")
    after = Made({"one": rows([0.1, 0.9, None], key=["a/0", "c/0", "c/1"])}).read(tmp_path / "after")
    found = {one.name: (one.state, one.after) for one in changed_values(before, after, "group", FLAGS)}
    assert found == {"a": ("same", Part(1, 1)), "b": ("gone", Part()), "c": ("new", Part(1, 0, 1))}


def part(flagged: int, scored: int) -> Part:
    return Part(scored, flagged)


def test_a_share_has_risen_if_chance_does_not_explain_it() -> None:
    surely = Change("surely", "same", part(10, 1000), part(40, 1000), part(10, 1000))
    perhaps = Change("perhaps", "same", part(10, 1000), part(15, 1000), part(10, 1000))
    fallen = Change("fallen", "same", part(40, 1000), part(10, 1000), part(40, 1000))
    gone = Change("gone", "gone", part(10, 1000), Part(), part(10, 1000))
    assert risen([surely, perhaps, fallen, gone]) == [surely]
    assert surely.chance < 1e-4 < 0.1 < perhaps.chance < 1 == fallen.chance == gone.chance


def test_the_more_parts_there_are_the_more_one_must_have_risen() -> None:
    one = Change("one", "same", part(1, 100), part(8, 100), part(1, 100))
    others = [Change(str(n), "same", part(1, 100), part(1, 100), part(1, 100)) for n in range(99)]
    assert 0.05 / 100 < one.chance < 0.05
    assert risen([one]) == [one]
    assert risen([one, *others]) == []


def test_flags_that_cannot_be_compared_have_no_shares(tmp_path: Path) -> None:
    scans = Made({"one": rows([0.9])}).read(tmp_path / "before"), Made({"one": rows([0.1])}).read(tmp_path / "after")
    for found in (changed_shards(*scans, None), changed_values(*scans, "label", None)):
        assert [(one.after.share, one.more, one.chance) for one in found] == [(None, 0.0, 1.0)]
