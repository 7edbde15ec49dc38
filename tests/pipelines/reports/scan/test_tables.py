"""The tables of a report, against counts of the score tables' rows, one after the other."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.flags.thresholds import MethodThreshold
from pipelines.inputs.readers.record import STATUSES
from pipelines.reports.ended import EndedScan
from pipelines.reports.html.blocks import Block, Cell, Grid, Prose
from pipelines.reports.scan import tables
from tests.pipelines.reports.ended_scans import ID_LABELS, RUN, Made, all_rows, rows

BAD = ("empty-file", "too-large", "truncated-archive")
FOLDERS, NEGATIVES = ("a", "a/b", ""), ("hammer", "flag", "bridge")
Numbers = dict[str, tuple[Any, ...]]


def random_rows(seed: int, count: int) -> Any:
    random = np.random.default_rng(seed)
    good = random.random(count) < 0.8
    folders = random.choice(FOLDERS, count).tolist()
    return rows(
        [float(random.random()) if ok else None for ok in good],
        key=[f"{folder}/{number}" if folder else str(number) for number, folder in enumerate(folders)],
        status=["ok" if ok else str(random.choice(BAD)) for ok in good],
        id_label=[str(random.choice(ID_LABELS[:3])) if ok else None for ok in good],
        id_probability=[float(random.random()) if ok else None for ok in good],
        negative_label=[str(random.choice(NEGATIVES)) if ok and random.random() < 0.9 else None for ok in good],
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[EndedScan, list[dict[str, Any]]]:
    """A scan of random records in four shards, one of them empty, and all of its rows."""
    shards = {f"shard {seed}": random_rows(seed, count) for seed, count in enumerate((40, 0, 25, 90))}
    output = Made(shards, run=RUN, passed_over={".json": 7}).at(tmp_path_factory.mktemp("made") / "scan")
    return EndedScan.read(output), all_rows(output)


def grid(blocks: Sequence[Block], title: str) -> Grid:
    return next(block for block in blocks if isinstance(block, Grid) and block.title == title)


def text(value: Any) -> Any:
    return value.text if isinstance(value, Cell) else value


def numbers(found: Grid) -> Numbers:
    """The cells of each row by the row's name."""
    return {str(text(row[0])): tuple(map(text, row[1:])) for row in found.rows}


def counted(found: Sequence[dict[str, Any]], name: Callable[[dict[str, Any]], str | None]) -> Numbers:
    """Of each value how many images there are, how many are flagged, their share, and how many records are in error."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in found:
        if (value := name(row)) is not None:
            counts[value]["images"] += row["status"] == "ok"
            counts[value]["flagged"] += row["is_ood_mcm"] is True
            counts[value]["errors"] += row["status"] != "ok"
    return {
        value: (of["images"], of["flagged"], of["flagged"] / of["images"] if of["images"] else None, of["errors"])
        for value, of in counts.items()
    }


def test_images_are_counted_by_negative_label(made: tuple[EndedScan, list[dict[str, Any]]]) -> None:
    scan, found = made
    expected = counted(found, lambda row: row["negative_label"])
    shown = grid(tables.by_label(scan), "By nearest negative label")
    assert numbers(shown) == expected
    assert [row[2] for row in shown.rows] == sorted((of[1] for of in expected.values()), reverse=True)


def test_images_are_counted_by_folder(made: tuple[EndedScan, list[dict[str, Any]]]) -> None:
    scan, found = made
    expected = counted(found, lambda row: row["key"].rpartition("/")[0] or "(none)")
    assert numbers(grid(tables.by_label(scan), "By folder")) == expected


def test_images_are_counted_by_id_label_with_how_sure_it_is_and_labels_without_images_come_last(
    made: tuple[EndedScan, list[dict[str, Any]]],
) -> None:
    scan, found = made
    expected: Numbers = {"wolf": (0, None, None, None)}
    for label, (images, flagged, share, _) in counted(found, lambda row: row["id_label"]).items():
        sure = np.mean([row["id_probability"] for row in found if row["id_label"] == label])
        expected[label] = (images, pytest.approx(sure, abs=1e-6), flagged, share)
    shown = grid(tables.by_label(scan), "By nearest ID label")
    assert numbers(shown) == expected
    assert list(numbers(shown))[-1] == "wolf"
    assert shown.note == "1 of 4 ID labels are nearest to no image."


def test_every_shard_is_counted_and_the_surely_most_flagged_come_first(
    made: tuple[EndedScan, list[dict[str, Any]]],
) -> None:
    scan, found = made
    expected = {
        name: (images + errors, flagged, share, errors, pytest.approx(5.0))  # of five stages a millisecond each
        for name, (images, flagged, share, errors) in counted(found, lambda row: row["shard"]).items()
    }
    shown = {name: (*of[:4], of[4] and of[4] * of[0]) for name, of in numbers(tables.shards(scan)).items()}
    empty = next(name for name in shown if name.startswith("shard_1"))
    assert shown == {**expected, empty: (0, 0, None, 0, None)}


def test_a_shard_of_few_images_does_not_come_before_one_that_is_surely_worse(tmp_path: Path) -> None:
    shards = {"few": rows([0.1, 0.1]), "many": rows([0.1] * 90 + [0.9] * 10), "none": rows([0.9])}
    shown = tables.shards(Made(shards).read(tmp_path / "scan"))
    assert [str(row[0]).rpartition("-")[0] for row in shown.rows] == ["many", "few", "none"]


def test_errors_are_counted_by_status_and_by_shard(made: tuple[EndedScan, list[dict[str, Any]]]) -> None:
    scan, found = made
    blocks, by_shard = tables.errors(scan), defaultdict(Counter)
    for row in found:
        if row["status"] != "ok":
            by_shard[row["shard"]][row["status"]] += 1
    every = sum(by_shard.values(), Counter[str]())
    assert numbers(grid(blocks, "By kind")) == {status: (of, STATUSES[status]) for status, of in every.items()}
    assert [row[1] for row in grid(blocks, "By kind").rows] == sorted(every.values(), reverse=True)
    records = Counter(row["shard"] for row in found)
    assert numbers(grid(blocks, "By shard")) == {
        shard: (of.total(), records[shard], ", ".join(f"{count} {status}" for status, count in sorted(of.items())))
        for shard, of in by_shard.items()
    }
    assert numbers(grid(blocks, "Passed over")) == {".json": (7,)}


def test_without_errors_it_is_said_that_there_are_none(tmp_path: Path) -> None:
    (found,) = tables.errors(Made({"one": rows([0.5])}).read(tmp_path / "scan"))
    assert isinstance(found, Grid)
    assert (found.rows, found.empty) == ([], "Every record has a score.")


def test_thresholds_come_with_what_they_flag_and_where_they_come_from(tmp_path: Path) -> None:
    calibrated = MethodThreshold(0.5, "calibrated", 0.4, 0.6, "s3://bucket/good", 0.95, 1000)
    scan = Made(
        {"one": rows({"mcm": [0.1, 0.9], "max-cos": [0.5, 0.5]})}, ("mcm", "max-cos"), {"mcm": calibrated}
    ).read(tmp_path / "scan")
    found = tables.thresholds(scan)
    assert [column.name for column in found.columns] == ["method", "threshold", "from", "to", "flagged", "which"]
    assert numbers(found) == {
        "mcm": (0.5, 0.4, 0.6, 0.5, "keeps 0.95 of 1,000 images that belong (s3://bucket/good)"),
        "max-cos": (None, None, None, None, "is missing: its scores are all the same, or it has none"),
    }
    (decides,) = [row[0] for row in found.rows if isinstance(row[0], Cell)]
    assert (decides.text, decides.note) == ("mcm", "decides")


def test_thresholds_without_an_interval_have_no_columns_for_one(made: tuple[EndedScan, list[dict[str, Any]]]) -> None:
    found = tables.thresholds(made[0])
    assert [column.name for column in found.columns] == ["method", "threshold", "flagged", "which"]


def test_the_time_is_told_by_stage_and_by_step(made: tuple[EndedScan, list[dict[str, Any]]]) -> None:
    said, stages, steps = tables.times(made[0])
    assert isinstance(said, Prose)
    assert isinstance(stages, Grid)
    assert isinstance(steps, Grid)
    assert said.lines[0].endswith("It took 12 s for 6 records, 8 s of it to start.")
    assert numbers(stages) == {"read": (0.5, 1, 12.0), "encode": (3.0, 2, None)}
    assert [row[0].note for row in stages.rows if isinstance(row[0], Cell)] == ["", "limits"]
    assert numbers(steps) == {"encode": (4.0,)}


def test_a_scan_that_has_read_nothing_says_so(tmp_path: Path) -> None:
    (said,) = tables.times(Made({"one": rows([0.5])}).read(tmp_path / "scan"))
    assert said == Prose(["No run has read anything for this scan."])


def test_provenance_names_what_the_scores_depend_on(tmp_path: Path) -> None:
    settings = {"since": str(tmp_path / "before"), "calibrate": str(tmp_path / "good")}
    scan = Made({"one": rows([0.5])}, settings=settings).read(tmp_path / "scan")
    found = {name: value for name, (value,) in numbers(tables.provenance(scan)).items()}
    assert found["scan"] == str(tmp_path / "scan")
    assert found["read from"] == "data"
    assert (found["since"], found["calibrate"]) == (settings["since"], settings["calibrate"])
    assert (found["weights"], found["fingerprint"]) == ("weights", scan.record.fingerprint)
    assert None not in found.values()
    rescored = Made({"one": rows([0.5])}, rescored=True).read(tmp_path / "rescored")
    assert numbers(tables.provenance(rescored))["read from"] == ("vectors",)


def test_a_table_holds_the_first_of_many_rows_and_says_of_how_many(tmp_path: Path) -> None:
    names = [f"name {number}" for number in range(tables.MOST_ROWS + 100)]
    columns = {"negative_label": names, "id_label": names, "key": [f"{name}/0.jpg" for name in names]}
    scan = Made({"one": rows([0.1] * len(names), **columns)}).read(tmp_path / "scan")
    found = [block for block in tables.by_label(scan) if isinstance(block, Grid)]
    assert [len(block.rows) for block in found] == [tables.MOST_ROWS] * 3
    assert [block.total for block in found] == [len(names) + len(ID_LABELS), len(names), len(names)]


def test_without_negative_labels_and_folders_there_are_no_tables_of_them(tmp_path: Path) -> None:
    scan = Made({"one": rows([0.1, 0.2], negative_label=None)}).read(tmp_path / "scan")
    assert [block.title for block in tables.by_label(scan) if isinstance(block, Grid)] == ["By nearest ID label"]


def test_groups_are_called_by_the_column_that_they_come_from(tmp_path: Path) -> None:
    shards = {"one": rows([0.1]), "two": rows([0.2, 0.9])}
    scan = Made(shards, settings={"group_by": "shard"}).read(tmp_path / "scan")
    found = grid(tables.by_label(scan), "By shard")
    assert sorted(of[:2] for of in numbers(found).values()) == [(1, 1), (2, 1)]


def test_a_label_bank_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    scan = Made({"one": rows([0.1])}).read(tmp_path / "scan")
    (tmp_path / "bank/labels.parquet").unlink()
    found = grid(tables.by_label(scan), "By nearest ID label")
    assert len(found.rows) == 1
    assert found.note.startswith("Labels that no image is nearest to are not shown: ")
