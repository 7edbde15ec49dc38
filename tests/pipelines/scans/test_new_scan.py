"""Starting over, and scans of nothing: what is removed when, and what counts as success."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.config.model import Model
from pipelines.config.pools import EncodePool, ScorePool
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.scans.rescore import rescore
from pipelines.scans.scan import scan
from pipelines.verify.verify import verify
from tests.conftest import encoded, picture, write_tar

PICTURES = 6


def tar(path: Path, *numbers: int) -> str:
    write_tar(path, {f"{number}.png": encoded(picture(number)) for number in numbers})
    return str(path)


def asked(given: str, bank: Path, output: Path, **changes: Any) -> Scan:
    settled = {"encode": EncodePool(workers=1), "embeddings": True, **changes}
    return Scan(input=(given,), labels=str(bank), output=str(output), **settled)


def rescoring(embeddings: Path, bank: Path, output: Path, **changes: Any) -> Rescore:
    settled = {"score": ScorePool(workers=1), "method": ("neglabel",), **changes}
    return Rescore(embeddings=(str(embeddings),), labels=str(bank), output=str(output), **settled)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(ray_session: None, bank_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan that nothing of may be lost, beside its input."""
    root = tmp_path_factory.mktemp("finished")
    scan(asked(tar(root / "a.tar", *range(PICTURES)), bank_directory, root / "scan"))
    return root


@pytest.mark.parametrize(
    "changes",
    [
        {"model": Model(name="bundeld")},
        {"encode": EncodePool(workers=900)},
        {"model": Model(name="bundled", device="cuda")},
        {"method": ("mcm", "gl-mcm")},
        {"labels": "nowhere"},
        {"input": ("nowhere.tar",)},
    ],
    ids=["model", "encoders", "device", "local features", "labels", "input"],
)
def test_a_mistake_in_a_new_scan_costs_nothing_of_the_old_one(
    finished: Path, bank_directory: Path, changes: dict[str, Any]
) -> None:
    before = files(finished / "scan")
    chosen = asked(str(finished / "a.tar"), bank_directory, finished / "scan").model_copy(update=changes)
    with pytest.raises(CallerError):
        scan(chosen, new_scan=True)
    assert files(finished / "scan") == before


def test_a_new_scan_does_not_remove_what_it_reads(finished: Path, bank_directory: Path) -> None:
    before = files(finished / "scan")
    chosen = rescoring(finished / "scan/embeddings", bank_directory, finished / "scan")
    with pytest.raises(CallerError, match="--new-scan would remove --embeddings '.*/scan/embeddings/part-"):
        rescore(chosen, new_scan=True)
    assert files(finished / "scan") == before


def test_a_new_scan_in_a_folder_that_never_held_one_removes_nothing(
    finished: Path, bank_directory: Path, tmp_path: Path
) -> None:
    theirs = {"embeddings/part-0.parquet": b"theirs", "memory/notes.txt": b"theirs", "consensus/a.parquet": b"theirs"}
    for name, content in theirs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    rescore(rescoring(finished / "scan/embeddings", bank_directory, tmp_path), new_scan=True)
    assert theirs.items() <= files(tmp_path).items()


def test_a_new_scan_replaces_the_old_one_and_leaves_other_files(
    finished: Path, bank_directory: Path, tmp_path: Path
) -> None:
    given, output = str(finished / "a.tar"), tmp_path / "scan"
    scan(asked(given, bank_directory, output, method=("mcm",)))
    (output / "notes.txt").write_text("mine")
    with pytest.raises(CallerError, match="holds another scan"):
        scan(asked(given, bank_directory, output, method=("neglabel",)))
    summary = scan(asked(given, bank_directory, output, method=("neglabel",), embeddings=False), new_scan=True)
    assert summary["records"] == PICTURES
    assert summary["last_run"]["images"] == PICTURES
    assert (output / "notes.txt").read_text() == "mine"
    assert not (output / "embeddings").exists()
    assert json.loads((output / "scan.json").read_text())["identity"]["method"] == "neglabel"
    assert verify(str(output), {}, tables=True).problems == []


@pytest.mark.parametrize("members", [{}, {"a.png": b"no picture"}], ids=["no records", "none ok"])
def test_a_scan_that_scored_nothing_is_no_success(
    bank_directory: Path, ray_session: None, tmp_path: Path, members: dict[str, bytes]
) -> None:
    write_tar(tmp_path / "a.tar", members)
    chosen = asked(str(tmp_path / "a.tar"), bank_directory, tmp_path / "scan", max_bad_fraction=1.0)
    for _ in range(2):  # the rerun finds it done
        summary = scan(chosen)
        assert (summary["within_error_budget"], summary["success"]) == (True, False)
        assert not (tmp_path / "scan/_SUCCESS").exists()
    assert verify(str(tmp_path / "scan"), {}, tables=True).problems == [
        f"nothing was scored: none of {len(members)} records is ok"
    ]
