"""What a judge of images cannot be asked for, and when none is needed."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from pipelines.commands.app import main
from pipelines.config.image_judges import ImageHttp
from pipelines.config.rescore import Rescore
from pipelines.scans.add_verdicts import add_verdicts
from pipelines.scans.rescore import rescore
from pipelines.scans.scan import scan
from tests.pipelines.in_plan_order import score_rows
from tests.pipelines.judges.openai_server import serving
from tests.pipelines.scanned_drawings import drawings_asked, seen_as, truth_about

HTTP = ["--image-judge", "http", "--image-judge-url", "http://127.0.0.1:9/v1", "--image-judge-model", "m"]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs `oodscan`, which must fail with exit code 2, and returns the one line it says."""
    monkeypatch.setattr(sys, "argv", ["oodscan", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert told.err.count("\n") == 1, told.err
    return told.err


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--method", "neglabel", *HTTP], "--image-judge needs --method consensus"),
        ([*HTTP, "--image-judge-dtype", "float32"], "--image-judge-dtype"),
        ([*HTTP, "--image-judge-recorded", "x"], "--image-judge-recorded"),
        ([*HTTP, "--max-questions", "0"], "--max-questions"),
        (["--image-judge", "oracle"], "oracle"),
        (["--image-judge", "http"], "--image-judge-"),
        (["--image-judge", "replay", "--image-judge-recorded", "nowhere"], "--image-judge-recorded 'nowhere'"),
        ([*HTTP[:2], "--image-judge-url", "http://me:secret@host/v1", "--image-judge-model", "m"], "credentials"),
        (["--max-questions", "7"], "--max-questions"),
    ],
)
def test_a_judge_that_cannot_be_had_is_one_line_before_any_work(
    drawings: Path, bank_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, options: list[str], line: str,
) -> None:  # fmt: skip
    given = ["--input", str(drawings), "--labels", str(bank_directory), "--output", str(tmp_path / "out")]
    methods = [] if "--method" in options else ["--method", "neglabel", "--method", "consensus"]
    told = refused(["scan", *given, *methods, *options], capsys, monkeypatch)
    assert line in told
    assert not (tmp_path / "out").exists()


def test_a_rescoring_which_has_no_images_is_not_judged(
    scan_of_drawings: Path, bank_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rescore(
        Rescore(
            embeddings=(str(scan_of_drawings / "embeddings"),), labels=str(bank_directory),
            output=str(tmp_path / "out"), method=("neglabel", "consensus"), param={"neglabel.groups": 5},
        )
    )  # fmt: skip
    told = refused(["verdicts", str(tmp_path / "out"), *HTTP], capsys, monkeypatch)
    assert "--image-judge" in told and "rescoring" in told
    assert not (tmp_path / "out/verdicts").exists()


def test_what_people_say_is_taken_in_though_the_scans_own_judge_is_gone(
    drawings: Path, bank_directory: Path, scan_of_drawings: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(scan_of_drawings, tmp_path / "scan"))
    with serving(truth_about(seen_as(drawings))) as server:
        judge = ImageHttp(url=server.url, model="m", max_questions=4)
        scan(drawings_asked(drawings, bank_directory, own, embeddings=True, image_judge=judge))
    described = json.loads((own / "scan.json").read_text())
    described["config"]["image_judge"] = {"name": "replay", "recorded": str(tmp_path / "gone")}
    (own / "scan.json").write_text(json.dumps(described))
    row = score_rows(own).select(["shard", "index"]).slice(5, 1).to_pylist()[0]
    (tmp_path / "said.csv").write_text(f"shard,index,verdict,by\n{row['shard']},{row['index']},no,mara\n")
    assert add_verdicts(str(own), [str(tmp_path / "said.csv")], {}).new == 1
