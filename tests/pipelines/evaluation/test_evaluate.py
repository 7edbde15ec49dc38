import csv
import json
import sys
from pathlib import Path

import pytest

from ood_core.methods import METHODS, score_column
from pipelines.commands.app import main
from pipelines.errors import CallerError
from pipelines.evaluation.evaluate import evaluate, parse_sets
from tests.pipelines.evaluation.made_scores import scores


@pytest.fixture
def inside(tmp_path: Path) -> str:
    return scores(tmp_path / "id.parquet", mcm=[0.6, 0.7, 0.8, 0.9], neglabel=[1.0, 1.0, 1.0, 1.0])


def test_metrics_are_given_by_method_and_set_and_averaged(tmp_path: Path, inside: str) -> None:
    far = scores(tmp_path / "far.parquet", mcm=[0.1, 0.2], neglabel=[0.0, 0.0])
    near = scores(tmp_path / "near.parquet", mcm=[0.65, 0.75], neglabel=[0.0, 2.0])
    found = evaluate([inside], {"far": [far], "near": [near]}, {})
    assert found.results["mcm"]["far"].auroc == 1.0
    assert found.results["mcm"]["near"].auroc == pytest.approx(5 / 8)
    assert found.results["neglabel"]["near"].auroc == pytest.approx(0.5)
    assert found.results["mcm"]["average"].auroc == pytest.approx((1 + 5 / 8) / 2)
    assert found.to_json()["results"]["mcm"]["far"]["fpr95"] == 0.0
    assert found.to_markdown().splitlines()[:3] == [
        "| method | far | near | average |",
        "|---|---|---|---|",
        "| mcm | 100.00 / 0.00 | 62.50 / 100.00 | 81.25 / 50.00 |",
    ]


def test_records_without_a_score_are_left_out_and_counted(tmp_path: Path, inside: str) -> None:
    ood = scores(tmp_path / "ood.parquet", mcm=[0.1, None, 0.2])
    found = evaluate([inside], {"ood": [ood]}, {})
    assert found.sets == {"id": {"scored": 4, "unscored": 0}, "ood": {"scored": 2, "unscored": 1}}
    assert list(found.results) == ["mcm"]


def test_sets_without_a_common_score_column_are_refused(tmp_path: Path, inside: str) -> None:
    other = scores(tmp_path / "other.parquet", consensus=[0.1])
    with pytest.raises(CallerError, match="have no score column in common"):
        evaluate([inside], {"other": [other]}, {})


@pytest.mark.parametrize("name", ["average", "id"])
def test_a_set_may_not_take_a_name_that_the_result_uses(inside: str, name: str) -> None:
    with pytest.raises(CallerError, match=f"^--ood '{name}' is a name that the table uses itself"):
        evaluate([inside], {name: [inside]}, {})


@pytest.fixture
def far(tmp_path: Path) -> str:
    return scores(tmp_path / "far.parquet", dense=[0.7, 0.1], mcm=[0.1, None], neglabel=[0.0, 1.0])


def test_methods_that_a_set_lacks_are_named_with_the_set(tmp_path: Path, inside: str, far: str) -> None:
    near = scores(tmp_path / "near.parquet", neglabel=[0.0], mine=[1.0])
    found = evaluate([inside], {"far": [far], "near": [near]}, {})
    assert list(found.results) == ["neglabel"]
    assert found.left_out == {"mcm": ["near"], "dense": ["id", "near"], "mine": ["id", "far"]}
    assert found.to_json()["left_out"] == found.left_out


def test_a_method_in_only_a_part_of_a_pooled_set_is_left_out(tmp_path: Path, inside: str, far: str) -> None:
    more = scores(tmp_path / "more.parquet", neglabel=[1.0])
    found = evaluate([inside], {"far": [far, more]}, {})
    assert found.left_out == {"mcm": ["far"], "dense": ["id", "far"]}
    assert found.images == {"neglabel": {"id": 4, "far": 3}}


def test_pooled_sets_are_measured_as_one(tmp_path: Path) -> None:
    tables = [scores(tmp_path / f"{value}.parquet", mcm=[value]) for value in (0.1, 0.4, 0.5, 0.2, 0.9)]
    found = evaluate(tables[:3], {"far": tables[3:]}, {})
    assert found.results["mcm"]["far"].auroc == pytest.approx(2 / 6)
    assert found.sets == {"id": {"scored": 3, "unscored": 0}, "far": {"scored": 2, "unscored": 0}}


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        (["neglabel", "mcm"], ["neglabel", "mcm"]),
        (["mcm"], ["mcm"]),
        (["mcm", "dense", "mcm"], ["mcm", "dense"]),
        ([], ["dense", "mcm", "neglabel"]),
    ],
)
def test_rows_are_the_methods_asked_for_in_their_order(far: str, asked: list[str], rows: list[str]) -> None:
    found = evaluate([far], {"same": [far]}, {}, asked)
    assert list(found.results) == rows
    assert found.left_out == {}


@pytest.mark.parametrize("method", METHODS)
def test_a_row_has_the_name_that_asks_for_the_method(tmp_path: Path, method: str) -> None:
    table = scores(tmp_path / "table.parquet", **{score_column(method).removeprefix("score_"): [0.5]})
    assert list(evaluate([table], {"same": [table]}, {}).results) == [method]
    assert list(evaluate([table], {"same": [table]}, {}, [method]).results) == [method]


@pytest.mark.parametrize(
    ("method", "lacking"), [("dense", "id"), ("negable", "any set"), ("score_mcm", "any set"), ("", "any set")]
)
def test_a_method_that_a_set_lacks_cannot_be_asked_for(inside: str, far: str, method: str, lacking: str) -> None:
    with pytest.raises(CallerError) as refused:
        evaluate([inside], {"far": [far]}, {}, ["mcm", method])
    assert (
        str(refused.value) == f"--method '{method}' has no scores in {lacking}; all sets have scores of mcm, neglabel"
    )


def test_the_csv_has_a_line_for_each_method_and_set_at_full_precision(tmp_path: Path, far: str) -> None:
    inside = scores(tmp_path / "id.parquet", mcm=[0.0, 0.2, 0.3], neglabel=[1.0, None, None])
    near = scores(tmp_path / "near.parquet", mcm=[0.1], neglabel=[1.0])
    text = evaluate([inside], {"far, or so": [far], "near": [near]}, {}).to_csv()
    lines = list(csv.reader(text.splitlines()))
    assert lines[0] == ["method", "set", "auroc", "fpr95", "aupr_in", "aupr_out", "id_images", "ood_images"]
    assert [(line[:4], line[6:]) for line in lines[1:]] == [
        (["mcm", "far, or so", "0.6666666666666666", "1.0"], ["3", "1"]),
        (["mcm", "near", "0.6666666666666666", "1.0"], ["3", "1"]),
        (["mcm", "average", "0.6666666666666666", "1.0"], ["3", "2"]),
        (["neglabel", "far, or so", "0.75", "0.5"], ["1", "2"]),
        (["neglabel", "near", "0.5", "1.0"], ["1", "1"]),
        (["neglabel", "average", "0.625", "0.75"], ["1", "3"]),
    ]


def test_a_bar_in_a_name_does_not_end_a_cell(tmp_path: Path, far: str) -> None:
    odd = scores(tmp_path / "odd.parquet", **{"a|b": [0.5]})
    table = evaluate([odd], {"x|y": [odd]}, {}).to_markdown().splitlines()
    assert table[0] == r"| method | x\|y | average |"
    assert table[2] == r"| a\|b | 50.00 / 100.00 | 50.00 / 100.00 |"


def test_uris_of_one_name_are_kept_together() -> None:
    assert parse_sets(["far=a", "near=b", "far=s3://c/x=1"]) == {"far": ["a", "s3://c/x=1"], "near": ["b"]}


@pytest.mark.parametrize("given", ["far", "=a", "far="])
def test_a_set_without_a_name_or_a_uri_is_refused(given: str) -> None:
    with pytest.raises(CallerError, match=f"^--ood '{given}' "):
        parse_sets([given])


def command(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs `oodscan evaluate` with these arguments, which must end well."""
    monkeypatch.setattr(sys, "argv", ["oodscan", "evaluate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("more", "file"),
    [
        ([], "metrics.md"),
        (["--format", "markdown"], "metrics.md"),
        (["--format", "csv"], "metrics.csv"),
        (["--format", "json"], "metrics.json"),
        (["--json"], "metrics.json"),
    ],
)
def test_the_command_prints_one_format_and_writes_all(
    tmp_path: Path,
    inside: str,
    far: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    file: str,
) -> None:
    output = tmp_path / "results"
    command(["--id", inside, "--ood", f"far={far}", "--output", str(output), *more], monkeypatch)
    said = capsys.readouterr()
    assert sorted(path.name for path in output.iterdir()) == ["metrics.csv", "metrics.json", "metrics.md"]
    assert said.out == (output / file).read_text()
    assert said.err.splitlines() == [
        "dense is left out: it has no scores in id",
        "far: 1 records have no score and are left out",
    ]


def test_the_command_takes_several_uris_and_methods(
    tmp_path: Path, inside: str, far: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = scores(tmp_path / "more.parquet", neglabel=[5.0], mcm=[5.0])
    ids, oods = ["--id", inside, "--id", more], ["--ood", f"far={far}", "--ood", f"far={more}"]
    command([*ids, *oods, "--method", "neglabel", "--method", "mcm", "--json"], monkeypatch)
    said = json.loads(capsys.readouterr().out)
    assert list(said["results"]) == ["neglabel", "mcm"]
    assert said["images"] == {"neglabel": {"id": 5, "far": 3}, "mcm": {"id": 5, "far": 2}}
