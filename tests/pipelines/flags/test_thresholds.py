"""Thresholds as a scan directory records them: read as they were written, and nothing else is taken for them."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import CallerError
from pipelines.flags.thresholds import MethodThreshold, Thresholds, recorded_thresholds, thresholds_of
from pipelines.storage import Directory
from tests.conftest import free_port

GIVEN = MethodThreshold(0.1 + 0.2, "given")
CALIBRATED = MethodThreshold(-1.5, "calibrated", -2.0, 1 - 1e-12, "/scans/known", 0.95, 12_345)
ASKED = {"threshold": {"mcm": 0.1 + 0.2}, "calibrate": "f0", "keep": 0.95, "carried": {}}
THRESHOLDS = Thresholds(ASKED, "mcm", "folder", {"mcm": GIVEN, "max-cos": CALIBRATED})
RECORDED = THRESHOLDS.to_json()


def test_what_is_recorded_is_read_to_the_last_bit(tmp_path: Path) -> None:
    output = Directory(str(tmp_path))
    THRESHOLDS.put(output)
    assert recorded_thresholds(output) == THRESHOLDS
    assert thresholds_of(output, "--since").values == {"mcm": 0.30000000000000004, "max-cos": -1.5}


def changed(**methods: Any) -> dict[str, Any]:
    """The record with other values of the threshold of mcm."""
    return RECORDED | {"methods": {"mcm": RECORDED["methods"]["mcm"] | methods}}


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "null",
        "[]",
        "3",
        "{}",
        *(json.dumps({name: value for name, value in RECORDED.items() if name != left}) for left in RECORDED),
        json.dumps(RECORDED | {"methods": []}),
        json.dumps(RECORDED | {"methods": {"mcm": 0.3}}),
        json.dumps(RECORDED | {"asked": 3}),
        json.dumps(changed(value=None)),
        json.dumps(changed(value="0.3")),
        json.dumps(changed(source="guessed")),
        json.dumps(changed(source=["given"])),
        json.dumps(changed(middle=0.3)),
    ],
)
def test_what_is_none_of_ours_is_no_thresholds(tmp_path: Path, content: str | None) -> None:
    output = Directory(str(tmp_path))
    if content is not None:
        output.put("thresholds.json", content.encode())
    assert recorded_thresholds(output) is None
    with pytest.raises(CallerError, match=f"^--since '{tmp_path}' has no thresholds.json that can be read: it has not"):
        thresholds_of(output, "--since")


def test_where_a_file_is_instead_of_a_scan_there_are_no_thresholds(tmp_path: Path) -> None:
    (tmp_path / "notes.md").touch()
    assert recorded_thresholds(Directory(str(tmp_path / "notes.md"))) is None


def test_a_storage_that_does_not_answer_is_named_with_the_option() -> None:
    scan = Directory(f"http://127.0.0.1:{free_port()}/scan")
    with pytest.raises(CallerError, match=f"^--since '{scan.url}' cannot be read: "):
        thresholds_of(scan, "--since")


@pytest.mark.parametrize(
    ("threshold", "parts"),
    [
        (GIVEN, ["given"]),
        (CALIBRATED, ["0.95", "12,345", "/scans/known"]),
        (MethodThreshold(0.3, "reference", keep=0.9, images=40), ["0.9", "40", "reference"]),
        (MethodThreshold(0.3, "carried", of="/scans/monday"), ["carried over from /scans/monday"]),
        (MethodThreshold(0.3, "estimated"), ["estimate"]),
    ],
)
def test_a_threshold_says_where_it_comes_from(threshold: MethodThreshold, parts: list[str]) -> None:
    assert [part for part in parts if part not in threshold.said] == []
