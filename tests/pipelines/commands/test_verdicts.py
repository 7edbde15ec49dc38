"""Mistakes of `oodscan questions` and `oodscan verdicts`: exit code 2, and one line that names option and value."""

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.commands.app import main
from tests.pipelines.reports.ended_scans import Made, rows


def command(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs `oodscan`, which must fail with exit code 2, and returns the one line it says."""
    monkeypatch.setattr(sys, "argv", ["oodscan", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("oodscan: ")
    return said.err


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with scans that have ended, one by consensus, and some that are broken; and files of answers."""
    monkeypatch.chdir(tmp_path)
    Made({"one": rows([0.9] * 20)}).at(tmp_path / "plain")
    both = {"mcm": [0.9] * 20, "neglabel": [0.9] * 20, "consensus": [0.9] * 20}
    Made({"one": rows(both)}, tuple(both)).at(tmp_path / "scan")
    for name in ("unfinished", "broken", "planless"):
        shutil.copytree(tmp_path / "scan", tmp_path / name)
    (tmp_path / "unfinished/summary.json").unlink()
    (tmp_path / "broken/scan.json").write_text("{")
    (tmp_path / "planless/plan.parquet").unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "none.csv").write_text("")
    (tmp_path / "maybe.csv").write_text("shard,index,verdict\ns,1,yes\ns,2,maybe\n")
    (tmp_path / "short.csv").write_text("shard,index,verdict\ns,1\n")
    (tmp_path / "latin.csv").write_bytes("shard,index,verdict\nä,1,yes\n".encode("latin-1"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    pq.write_table(pa.table({"shard": ["s"], "verdict": ["yes"]}), tmp_path / "no-index.parquet")
    return tmp_path


MISTAKES = [
    (["questions", "scan", "--count", "0"], "--count 0 must be 1 at least"),
    (["questions", "scan", "--count", "-3"], "--count -3 must be 1 at least"),
    (["questions", "nowhere"], "SCAN '{}/nowhere' is not a scan directory: it has no scan.json or no plan.parquet"),
    (["questions", "empty"], "SCAN '{}/empty' is not a scan directory"),
    (["questions", "notes.md"], "SCAN '{}/notes.md' is not a scan directory"),
    (["questions", "planless"], "SCAN '{}/planless' is not a scan directory"),
    (["questions", "broken"], "SCAN '{}/broken' cannot be read: scan.json: "),
    (["questions", "s3://u:hunter2@bucket/x"], "a s3:// URL holds a password"),
    (["questions", "odd://x"], "'odd://x' cannot be opened: "),
    (["questions", "scan", "--output", "notes.md/x"], "--output '{}/notes.md/x' cannot be written to: "),
    (["questions", "scan", "--storage-options", "key"], "--storage-options"),
    (["verdicts", "nowhere"], "SCAN '{}/nowhere' is not a scan directory"),
    (["verdicts", "broken"], "SCAN '{}/broken' cannot be read: scan.json: "),
    (["verdicts", "unfinished"], "SCAN '{}/unfinished' has not ended: it has no summary.json"),
    (["verdicts", "scan", "--add", "gone.csv"], "--add 'gone.csv' cannot be read: it does not exist"),
    (["verdicts", "scan", "--add", "none.csv", "--add", "gone.csv"], "--add 'gone.csv' cannot be read: it does not"),
    (["verdicts", "scan", "--add", "empty"], "--add 'empty' cannot be read: "),
    (["verdicts", "scan", "--add", "maybe.csv"], "--add 'maybe.csv', line 3: verdict is 'maybe'; it is yes, no or"),
    (["verdicts", "scan", "--add", "short.csv"], "--add 'short.csv', line 2: it has not as many cells as the first"),
    (["verdicts", "scan", "--add", "latin.csv"], "--add 'latin.csv' is neither CSV nor Parquet: "),
    (["verdicts", "scan", "--add", "broken.parquet"], "--add 'broken.parquet' cannot be read: "),
    (["verdicts", "scan", "--add", "no-index.parquet"], "--add 'no-index.parquet', row 1: index is missing"),
    (["verdicts", "scan", "--add", "s3://u:hunter2@bucket/x"], "a s3:// URL holds a password"),
    (["verdicts", "plain", "--image-judge", "replay", "--image-judge-recorded", "x"], "--image-judge needs --method"),
    (["verdicts", "scan", "--image-judge", "oracle"], "image_judge"),
    (["verdicts", "scan", "--image-judge", "replay"], "recorded"),
    (["verdicts", "scan", "--image-judge", "http"], "--image-judge"),
    (["verdicts", "scan", "--max-questions", "9"], "--max-questions is not an option of --image-judge none"),
    (["verdicts", "scan", "--image-judge", "replay", "--image-judge-recorded", "gone"], "gone"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=[" ".join(one) for one, _ in MISTAKES])
def test_a_mistake_is_one_line_before_any_work(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    before = sorted(path for path in place.rglob("*") if path.is_file())
    line = command(arguments, capsys, monkeypatch)
    assert said.replace("{}", str(place)) in line
    assert "hunter2" not in line
    assert sorted(path for path in place.rglob("*") if path.is_file()) == before


def test_scans_that_nobody_can_be_asked_about_are_named(
    place: Path, ray_session: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = command(["questions", "plain"], capsys, monkeypatch)
    assert f"SCAN '{place}/plain' was made without consensus, whose anchors the questions go by" in said
    assert f"SCAN '{place}/scan' has not ended: " in command(["questions", "scan"], capsys, monkeypatch)
    said = command(["verdicts", "plain", "--add", "none.csv"], capsys, monkeypatch)
    assert f"SCAN '{place}/plain' is by no method that takes verdicts in: scan with --method consensus, or" in said


@pytest.mark.parametrize("arguments", [["questions", "nowhere"], ["verdicts", "nowhere"], ["questions", "--help"]])
def test_help_and_mistakes_need_neither_torch_nor_ray(arguments: list[str]) -> None:
    program = (
        "import sys; from pipelines.commands.app import main; sys.argv = ['oodscan', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'open_clip', 'pandas'} & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"
