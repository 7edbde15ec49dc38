"""`oodscan compare` as it is called: what it prints and writes, when it fails, and what it refuses."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.commands.app import app
from pipelines.errors import CallerError
from tests.pipelines.reports.ended_scans import Made, rows


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def oodscan(*arguments: str | Path) -> Ended:
    ended = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def refusal(*arguments: str | Path) -> str:
    with pytest.raises(CallerError) as refused:
        oodscan(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def labels(*counts: tuple[str, int]) -> list[str]:
    return [name for name, count in counts for _ in range(count)]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two nights: in the second, images like a hammer are new, a shard is broken, one is new, one gone."""
    place = tmp_path_factory.mktemp("nights")
    before = {
        "animals": rows(
            [0.9] * 190 + [0.3] * 10, id_label=labels(("cat", 150), ("dog", 50)), negative_label=["flag"] * 200
        ),
        "old": rows([0.9] * 100, id_label=["fish"] * 100),
    }
    after = {
        "animals": rows([*[0.9] * 190, *[0.3] * 10, None], id_label=[*labels(("cat", 150), ("dog", 50)), None],
                        status=[*["ok"] * 200, "truncated-archive"], negative_label=[*["flag"] * 200, None]),
        "tools": rows([0.1] * 70 + [0.9] * 30, id_label=["horse"] * 100, negative_label=["hammer"] * 100),
    }  # fmt: skip
    Made(before).at(place / "monday")
    Made(after, versions={"animals": "2"}).at(place / "tuesday")
    return place


def test_the_comparison_is_printed_as_text(nights: Path) -> None:
    found = oodscan("compare", nights / "monday", nights / "tuesday")
    assert (found.code, found.err) == (0, "")
    lines = found.out.splitlines()
    assert lines[:2] == [
        f"{nights}/tuesday against {nights}/monday",
        "26.67% of the images are flagged by mcm, after 3.33%; 1 new kind; 1 newly broken shard.",
    ]
    assert "kinds that are new and flagged: 1" in lines
    assert re.search(r"^  hammer +100 +70$", found.out, re.MULTILINE)
    for heading, count in {
        "shards that are newly broken": 1,
        "shards whose flagged share has risen by more than chance": 1,
        "shards that are new, gone or changed": 3,
        "labels that appeared or vanished": 2,
        "labels whose flagged share has risen by more than chance": 1,
    }.items():
        assert f"{heading}: {count}" in lines
    assert "groups that appeared or vanished: 0" not in lines


def test_the_comparison_as_json_has_all_that_changed(nights: Path) -> None:
    found = json.loads(oodscan("compare", nights / "monday", nights / "tuesday", "--json").out)
    assert (found["before"], found["after"]) == (f"{nights}/monday", f"{nights}/tuesday")
    assert (found["deciding"], found["history"], found["failures"]) == ("mcm", [], [])
    assert found["more_flagged"] == pytest.approx(80 / 300 - 10 / 300)
    assert [(kind["by"], kind["called"], kind["images"], kind["flagged"]) for kind in found["new_kinds"]] == [
        ("negative", "hammer", 100, 70)
    ]
    names = {name: [one["name"].rpartition("-")[0] or one["name"] for one in found[name]] for name in (
        "broken", "risen", "shards", "labels", "labels_risen", "groups", "groups_risen",
    )}  # fmt: skip
    assert names == {
        "broken": ["animals"], "risen": ["tools"], "shards": ["animals", "tools", "old"], "labels": ["horse", "fish"],
        "labels_risen": ["horse"], "groups": [], "groups_risen": ["a"],
    }  # fmt: skip
    (broken,) = found["broken"]
    assert broken["broken"] == "1 truncated-archive"
    assert broken["after"] == {"scored": 200, "flagged": 10, "errors": 1}
    assert (broken["before_share"], broken["after_share"], broken["more"], broken["chance"]) == (0.05, 0.05, 0.0, 1.0)
    (drift,) = found["methods"]
    assert drift["alarm"].startswith("scores have moved by ")


def test_the_comparison_is_markdown_or_a_page_by_the_files_name(nights: Path, tmp_path: Path) -> None:
    pair = nights / "monday", nights / "tuesday"
    markdown, page = (oodscan("compare", *pair, "--format", form).out for form in ("markdown", "html"))
    assert markdown.startswith(f"# {nights}/tuesday against {nights}/monday\n")
    assert "26.7\u202f% of the images are flagged by mcm, after 3.3\u202f%; 1 new kind; 1 newly broken shard." in page
    for name, content in (("night.md", markdown), ("night.html", page)):
        written = oodscan("compare", *pair, "--output", tmp_path / name)
        assert written == Ended(0, "", "")
        assert (tmp_path / name).read_text(encoding="utf-8") == content
    forced = oodscan("compare", *pair, "--output", tmp_path / "night.txt", "--format", "json")
    assert forced == Ended(0, "", "")
    assert json.loads((tmp_path / "night.txt").read_text())["deciding"] == "mcm"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("drift=1.5", r"drift: mcm has moved by 1\.733 standard deviations, 1\.5 or more"),
        ("flagged=0.2", r"flagged: \+23\.33% by mcm, \+20\.00% or more"),
        ("new-kind=70", r"new-kind: 70 flagged images of hammer, 70 or more"),
        ("broken=1", r"broken: 1 of the shards, 1 or more: animals-[0-9a-f]{8} \(1 truncated-archive\)"),
    ],
)
def test_each_limit_makes_the_command_fail_and_say_why(nights: Path, limits: str, said: str) -> None:
    found = oodscan("compare", nights / "monday", nights / "tuesday", "--fail-on", limits)
    assert found.code == 5
    assert re.fullmatch(f"{said}\n", found.err)
    assert f"fails: {found.err}" in found.out
    document = json.loads(oodscan("compare", nights / "monday", nights / "tuesday", "--fail-on", limits, "--json").out)
    assert document["failures"] == [found.err.strip()]


@pytest.mark.parametrize("limits", ["drift=9", "flagged=0.234", "new-kind=71", "broken=2", "drift=9,broken=2"])
def test_what_stays_below_its_limit_does_not_fail(nights: Path, limits: str) -> None:
    found = oodscan("compare", nights / "monday", nights / "tuesday", "--fail-on", limits)
    assert (found.code, found.err) == (0, "")


def test_all_limits_fail_at_once_and_the_page_is_written_all_the_same(nights: Path, tmp_path: Path) -> None:
    limits = "drift=0.5,flagged=0.2,new-kind=20,broken=1"
    found = oodscan(
        "compare", nights / "monday", nights / "tuesday", "--fail-on", limits, "--output", tmp_path / "night.html"
    )
    assert (found.code, found.out) == (5, "")
    assert [line.partition(":")[0] for line in found.err.splitlines()] == ["drift", "flagged", "new-kind", "broken"]
    page = (tmp_path / "night.html").read_text(encoding="utf-8")
    assert '<div class="verdict bad">' in page
    assert "Fails: new-kind: 70 flagged images of hammer, 20 or more." in page


def test_the_limit_itself_is_reached_whatever_the_last_bits_are(tmp_path: Path) -> None:
    Made({"one": rows([0.1] * 2 + [0.9] * 8)}).at(tmp_path / "before")  # 0.3 - 0.2 is less than 0.1
    Made({"one": rows([0.1] * 3 + [0.9] * 7)}).at(tmp_path / "after")
    assert oodscan("compare", tmp_path / "before", tmp_path / "after", "--fail-on", "flagged=0.1").code == 5


def test_many_broken_shards_are_named_in_part_and_labels_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    names = [f"shard{number}" for number in range(7)]
    hostile = ["\x1b[31mred"] * 20
    Made({name: rows([0.9]) for name in names} | {"all": rows([0.9] * 99)}).at(tmp_path / "before")
    broken = {name: rows([0.9, None], status=["ok", "damaged-archive"]) for name in names}
    Made({**broken, "all": rows([0.1] * 20, negative_label=hostile)}).at(tmp_path / "after")
    found = oodscan("compare", tmp_path / "before", tmp_path / "after", "--fail-on", "broken=7,new-kind=1")
    assert found.code == 5
    new, broke = found.err.splitlines()
    assert new == "new-kind: 20 flagged images of \\x1b[31mred, 1 or more"
    assert broke.count("damaged-archive") == 5
    assert broke.endswith(", …")
    assert "\x1b" not in found.out


def test_history_is_read_and_says_what_is_usual(nights: Path) -> None:
    pair, history = (nights / "monday", nights / "monday"), ["--history", nights / "tuesday"] * 3
    found = json.loads(oodscan("compare", *pair, *history, "--json").out)
    assert found["history"] == [f"{nights}/tuesday"] * 3
    assert found["methods"][0]["usual"] > 0.1
    assert found["methods"][0]["alarm"] == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone", "tuesday"], "BEFORE 'gone' is not a scan directory: it has no scan.json or no plan.parquet"),
        (["monday", "gone"], "AFTER 'gone' is not a scan directory"),
        (["monday", "tuesday", "--history", "gone"], "--history 'gone' is not a scan directory"),
        (["monday", "tuesday", "--fail-on", "speed=1"], "--fail-on 'speed=1' is none of drift=NUMBER, flagged=NUMBER"),
        (["monday", "tuesday", "--fail-on", "drift=x"], "--fail-on 'drift=x': 'x' is no number"),
        (["monday", "tuesday", "--format", "pdf"], "--format 'pdf' is unknown; the formats are text, markdown"),
        (["monday", "tuesday", "--format", "html", "--json"], "--format 'html' and --json contradict each other"),
        (["monday", "tuesday", "--output", "folder/"], "--output 'folder/' is no file's name"),
        (["monday", "tuesday", "--output", ""], "--output '' is no file's name"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_option_and_value(
    nights: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(nights)
    assert refusal("compare", *arguments).replace(f"{nights}/", "").startswith(said)


def test_a_scan_that_has_not_ended_is_named(nights: Path, tmp_path: Path) -> None:
    unfinished = Path(Made({"one": rows([0.5])}).at(tmp_path / "scan").url)
    (unfinished / "summary.json").unlink()
    said = refusal("compare", nights / "monday", unfinished)
    assert said == f"AFTER '{unfinished}' is a scan that has not ended: it has no summary.json"
