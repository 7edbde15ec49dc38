"""`oodscan plan --output`: what of an input is committed, and what has changed since."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.commands.app import app
from pipelines.errors import CallerError
from tests.pipelines.made_scan import make_scan

CUT = ["--images-per-shard", "3"]


def planned(root: Path, *more: str) -> Any:
    done = CliRunner().invoke(
        app, ["plan", "--input", str(root / "data"), "--output", str(root / "out"), *CUT, *more], catch_exceptions=False
    )
    assert done.exit_code == 0
    return json.loads(done.output) if "--json" in more else done.output


def states(root: Path) -> list[tuple[bool, bool]]:
    return [(shard["committed"], shard["changed"]) for shard in planned(root, "--json")["shards"]]


def test_what_is_committed_is_said_of_the_same_files_only(tmp_path: Path) -> None:
    output = make_scan(tmp_path)
    assert states(tmp_path) == [(True, False)] * 3
    assert "3 shards, " in planned(tmp_path)
    (tmp_path / "data/4.jpg").write_bytes(b"another")
    assert sorted(states(tmp_path)) == [(False, True), (True, False), (True, False)]
    text = planned(tmp_path)
    assert text.count("has changed since") == 1
    assert " 2 committed\n1 shards have changed since --output" in text
    (name, *_) = output.names("scores")
    output.remove(f"scores/{name}")
    assert sum(committed for committed, _ in states(tmp_path)) < 3


def test_without_a_scan_nothing_is_committed_and_a_damaged_plan_is_named(tmp_path: Path) -> None:
    output = make_scan(tmp_path)
    output.put("plan.parquet", b"no plan")
    with pytest.raises(CallerError, match=r"--output .* holds a plan.parquet that cannot be read"):
        planned(tmp_path)
    output.remove("plan.parquet")
    assert states(tmp_path) == [(False, False)] * 3
