import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import CallerError
from pipelines.verify.verify import verify
from tests.pipelines.verify.damage import cut, flipped, missing, rewritten
from tests.pipelines.verify.made_scans import EMPTY, FIRST, LEARNED, SECOND, STATIC, make_scan

PART = f"scores/part-{FIRST}.parquet"
VECTORS = f"embeddings/part-{FIRST}.parquet"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return make_scan(tmp_path, STATIC)


def test_a_whole_scan_has_no_problems(out: Path) -> None:
    found = verify(str(out), {}, tables=True)
    assert (found.shards, found.records, found.problems) == (4, 11, [])


def test_rereading_a_whole_scan_finds_the_same_keys(out: Path) -> None:
    assert verify(str(out), {}, reread=True).problems == []


def test_every_damage_is_named(tmp_path: Path) -> None:
    out = make_scan(tmp_path, LEARNED)
    for name in (PART, VECTORS, "gallery.parquet", "consensus/sums-1.parquet"):
        cut(out / name)
    for name in (f"scores/part-{SECOND}.parquet", "memory/snapshot-4.parquet", "_SUCCESS"):
        missing(out / name)
    (out / "summary.json").write_text("{}")
    assert [
        problem[: problem.index(".parquet") + 8] for problem in verify(str(out), {}, tables=True).problems[:-1]
    ] == [
        "memory/snapshot-4.parquet",
        "consensus/sums-1.parquet",
        "gallery.parquet",
        PART,
        VECTORS,
        f"scores/part-{SECOND}.parquet",
    ]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda out: (out / PART).unlink(), f"{PART} is missing"),
        (lambda out: (out / PART).write_bytes(b"short"), f"{PART} has 5 bytes, and "),
        (lambda out: (out / VECTORS).unlink(), f"{VECTORS} is missing"),
        (lambda out: (out / VECTORS).write_bytes(b"short"), f"{VECTORS} has 5 bytes, and "),
        (lambda out: (out / "gallery.parquet").unlink(), "gallery.parquet is missing"),
        (
            lambda out: (out / "manifest/part-000000.parquet").unlink(),
            "manifest/ has no receipt of any shard",
        ),
        (
            lambda out: (out / "manifest/part-000000.parquet").write_bytes(b"PAR1"),
            "manifest/part-000000.parquet cannot be read: ",
        ),
        (lambda out: (out / "scores/part-x.parquet").touch(), "scores/part-x.parquet is not in the plan"),
        (lambda out: (out / "summary.json").unlink(), "summary.json is missing: the scan has not ended"),
        (lambda out: (out / "_SUCCESS").unlink(), "_SUCCESS and summary.json do not agree"),
    ],
)
def test_without_reading_a_table_what_listings_and_manifest_tell_is_found(
    out: Path, damage: Callable[[Path], Any], problem: str
) -> None:
    assert verify(str(out), {}).problems == []
    damage(out)
    (found,) = verify(str(out), {}).problems
    assert found.startswith(problem)


@pytest.mark.parametrize("name", ["memory/snapshot-4.parquet", f"consensus/votes/part-{FIRST}.parquet"])
def test_files_of_memory_and_consensus_are_missed_without_reading_one(tmp_path: Path, name: str) -> None:
    out = make_scan(tmp_path, LEARNED)
    assert verify(str(out), {}).problems == []
    missing(out / name)
    assert verify(str(out), {}).problems == [f"{name} is missing"]


def test_a_flipped_bit_is_found_by_who_reads_the_tables(out: Path) -> None:
    flipped(out / PART)
    assert verify(str(out), {}).problems == []
    assert verify(str(out), {}, tables=True).problems


@pytest.mark.parametrize("name", [PART, VECTORS])
def test_a_table_that_was_written_anew_is_not_the_one_that_was_committed(out: Path, name: str) -> None:
    rewritten(lambda table: table)(out / name)
    assert verify(str(out), {}, tables=True).problems == [f"{name} is not the file that was committed"]


def rewritten_input(place: Path) -> None:
    """Other bytes of the same size, and of the time of the old ones."""
    times = place.stat().st_atime_ns, place.stat().st_mtime_ns
    header = b"not a tar header".ljust(1024, b"x")
    place.write_bytes(header + bytes(10240 - len(header)))
    os.utime(place, ns=times)


def test_rereading_notices_records_that_the_table_lacks(out: Path) -> None:
    rewritten_input(out / "../data/empty.tar")
    assert verify(str(out), {}, tables=True).problems == []
    (problem,) = verify(str(out), {}, reread=True).problems
    assert problem.startswith(f"{EMPTY}: ")


def test_rereading_an_input_that_is_gone_is_a_problem_and_no_crash(out: Path) -> None:
    (out / "../data/empty.tar").unlink()
    (problem,) = verify(str(out), {}, reread=True).problems
    assert problem.startswith(f"{EMPTY}: ")
    assert "cannot be read" in problem


def test_a_scan_of_which_the_record_alone_is_left_is_damaged(out: Path) -> None:
    for name in ("scores", "embeddings", "manifest"):
        shutil.rmtree(out / name)
    for name in ("gallery.parquet", "plan.parquet", "summary.json", "_SUCCESS"):
        (out / name).unlink()
    assert verify(str(out), {}, tables=True).problems == ["plan.parquet is missing"]


def test_a_directory_without_a_scan_is_the_callers_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path, tmp_path / "gone", tmp_path / "file"):
        with pytest.raises(CallerError, match="is not a scan directory: it has no scan.json or no plan.parquet"):
            verify(str(place), {}, tables=True)
