import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import CallerError
from pipelines.verify.verify import verify
from tests.pipelines.made_scan import make_scan

EMPTY, FIRST, SECOND = "empty-e0e0e0e0", "data-11111111", "data-22222222"
PART = f"scores/part-{FIRST}.parquet"
VECTORS = f"embeddings/part-{FIRST}.parquet"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    make_scan(tmp_path, (EMPTY, FIRST, SECOND))
    return tmp_path / "out"


def rewritten(name: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    """A table changed, its metadata kept but for the number of records."""

    def apply(out: Path) -> None:
        table = pq.read_table(io.BytesIO((out / name).read_bytes()))
        changed = change(table)
        metadata = table.schema.metadata | {b"oodscan.records": str(len(changed)).encode()}
        pq.write_table(changed.replace_schema_metadata(metadata), out / name)

    return apply


def replaced(column: str, values: pa.Array) -> Callable[[Path], None]:
    return rewritten(PART, lambda table: table.set_column(table.column_names.index(column), column, values))


def recorded(change: Callable[[dict[str, Any]], Any], name: str = "scan.json") -> Callable[[Path], None]:
    def apply(out: Path) -> None:
        content = json.loads((out / name).read_bytes())
        change(content)
        (out / name).write_text(json.dumps(content))

    return apply


def flipped(out: Path) -> None:
    content = bytearray((out / PART).read_bytes())
    content[60] ^= 1
    (out / PART).write_bytes(content)


def other_fingerprint(out: Path) -> None:
    table = pq.read_table(io.BytesIO((out / PART).read_bytes()))
    metadata = table.schema.metadata | {b"oodscan.fingerprint": b"another"}
    pq.write_table(table.replace_schema_metadata(metadata), out / PART)


def scaled(table: pa.Table) -> pa.Table:
    vectors = pa.array([[0.5, 0.5, 0, 0]] * len(table), pa.list_(pa.float16(), 4))
    return table.set_column(3, "embedding", vectors)


DAMAGE = {
    "a part missing": (lambda out: (out / PART).unlink(), f"{PART} is missing"),
    "a part cut short": (
        lambda out: (out / PART).write_bytes((out / PART).read_bytes()[:-9]),
        f"{PART} cannot be read",
    ),
    "a part of no bytes": (lambda out: (out / PART).write_bytes(b""), f"{PART} cannot be read"),
    "a bit flipped": (flipped, f"{PART} cannot be read"),
    "the last row removed": (rewritten(PART, lambda t: t.slice(0, 2)), f"{FIRST}: the keys are not those of"),
    "a row removed": (rewritten(PART, lambda t: t.take([0, 2])), f"{FIRST}: the indices are not 0, 1, 2"),
    "a row doubled": (rewritten(PART, lambda t: t.take([0, 1, 1, 2])), f"{FIRST}: the indices are not 0, 1, 2"),
    "rows swapped": (rewritten(PART, lambda t: t.take([1, 0, 2])), f"{FIRST}: the indices are not 0, 1, 2"),
    "a column lost": (rewritten(PART, lambda t: t.drop_columns("key")), f"{PART} has no column 'key'"),
    "the scores lost": (
        rewritten(PART, lambda t: t.drop_columns("score_mcm")),
        f"{FIRST}: there is no column score_mcm",
    ),
    "another scan's part": (other_fingerprint, f"{PART} carries the fingerprint of another scan"),
    "another shard's rows": (replaced("shard", pa.array([FIRST, "x", FIRST])), f"{FIRST}: there are rows of another"),
    "another key": (replaced("key", pa.array(["0.jpg", "x.jpg", "2.jpg"])), f"{FIRST}: the keys are not those of"),
    "a score lost": (replaced("score_mcm", pa.array([None, None, 0.3])), f"{FIRST}: score_mcm is missing where"),
    "a score too many": (replaced("score_mcm", pa.array([0.1, 0.2, 0.3])), f"{FIRST}: score_mcm is given where"),
    "an unknown status": (replaced("status", pa.array(["ok", "odd", "ok"])), f"{FIRST}: the status 'odd' is unknown"),
    "no status": (replaced("status", pa.array(["ok", None, "ok"])), f"{FIRST}: the status 'None' is unknown"),
    "a stray part": (lambda out: (out / "scores/part-x.parquet").touch(), "scores/part-x.parquet is not in the plan"),
    "stray embeddings": (lambda out: (out / "embeddings/x.parquet").touch(), "embeddings/x.parquet is not in the plan"),
    "embeddings missing": (lambda out: (out / VECTORS).unlink(), f"{VECTORS} is missing"),
    "an embedding removed": (rewritten(VECTORS, lambda t: t.slice(1)), f"{FIRST}: the embeddings are not those of"),
    "embeddings not of unit length": (
        rewritten(VECTORS, scaled),
        f"{FIRST}: there are embeddings that are not of unit",
    ),
    "a summary of other counts": (
        recorded(lambda summary: summary["statuses"].update(ok=2), "summary.json"),
        "summary.json counts {'ok': 2, 'unreadable-image': 2}, the score tables {'ok': 3, 'unreadable-image': 2}",
    ),
    "a summary cut short": (lambda out: (out / "summary.json").write_text('{"sta'), "summary.json cannot be read"),
    "no summary": (lambda out: (out / "summary.json").unlink(), "summary.json is missing: the scan has not ended"),
    "no mark of success": (lambda out: (out / "_SUCCESS").unlink(), "_SUCCESS and summary.json do not agree"),
    "an edited record": (
        recorded(lambda record: record["identity"].update(labels="x")),
        "scan.json: the fingerprint is not that of what it records",
    ),
    "another plan": (
        lambda out: pq.write_table(pq.read_table(out / "plan.parquet").slice(1), out / "plan.parquet"),
        "plan.parquet is not the plan that scan.json was recorded with",
    ),
    "a plan cut short": (
        lambda out: (out / "plan.parquet").write_bytes(b"PAR1"),
        "scan.json or plan.parquet is damaged",
    ),
    "a record cut short": (lambda out: (out / "scan.json").write_text("{"), "scan.json or plan.parquet is damaged"),
}


def test_a_whole_scan_has_no_problems(out: Path) -> None:
    found = verify(str(out), {}, tables=True)
    assert (found.shards, found.records, found.problems) == (3, 5, [])


def test_rereading_a_whole_scan_finds_the_same_keys(out: Path) -> None:
    assert verify(str(out), {}, reread=True).problems == []


@pytest.mark.parametrize("name", DAMAGE)
def test_every_damage_is_named(out: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(out)
    problems = verify(str(out), {}, tables=True).problems
    assert any(problem.startswith(message) for problem in problems), problems


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda out: (out / PART).unlink(), f"{PART} is missing"),
        (lambda out: (out / PART).write_bytes(b"short"), f"{PART} has 5 bytes, and "),
        (lambda out: (out / VECTORS).unlink(), f"{VECTORS} is missing"),
        (lambda out: (out / "manifest/part-000000.parquet").unlink(), f"manifest/ has no receipt of {PART}"),
        (lambda out: (out / "manifest/part-000000.parquet").write_bytes(b"PAR1"), "manifest/ has no receipt of"),
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
    problems = verify(str(out), {}).problems
    assert any(found.startswith(problem) for found in problems), problems


def test_a_flipped_bit_is_found_by_who_reads_the_tables(out: Path) -> None:
    flipped(out)
    assert verify(str(out), {}).problems == []
    assert verify(str(out), {}, tables=True).problems


def test_a_table_that_was_written_anew_is_not_the_one_that_was_committed(out: Path) -> None:
    rewritten(PART, lambda table: table)(out)
    assert f"{PART} is not the file that was committed" in verify(str(out), {}, tables=True).problems


def test_rereading_notices_records_that_the_table_lacks(out: Path) -> None:
    empty = f"{out}/../data/empty.tar"
    header = b"not a tar header".ljust(1024, b"x")
    Path(empty).write_bytes(header + bytes(10240 - len(header)))
    assert verify(str(out), {}, tables=True).problems == []
    (problem,) = verify(str(out), {}, reread=True).problems
    assert problem.startswith(f"{EMPTY}: the input holds 1 records, the score table 0")


def test_rereading_an_input_that_is_gone_is_a_problem_and_no_crash(out: Path) -> None:
    (out / "../data/empty.tar").unlink()
    (problem,) = verify(str(out), {}, reread=True).problems
    assert problem.startswith(f"{EMPTY}: ")
    assert "cannot be read" in problem


def test_a_directory_without_a_scan_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="is not a scan directory: it has no scan.json or no plan.parquet"):
        verify(str(tmp_path), {}, tables=True)
