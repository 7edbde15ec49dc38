import json

import pytest
import typer

from pipelines.commands.ending import end
from pipelines.config.scan import Scan
from pipelines.errors import BUDGET_EXCEEDED, DRIFT

CHOSEN = Scan(input=("data",), labels="bank", output="out")


def summary(statuses: dict[str, int], within_budget: bool = True, bad_shards: int = 0) -> dict:
    bad = sum(statuses.values()) - statuses.get("ok", 0)
    return {
        "records": sum(statuses.values()),
        "bad_fraction": 0.0 if within_budget or bad_shards else bad / sum(statuses.values()),
        "statuses": statuses,
        "passed_over": {},
        "bad_shards": bad_shards,
        "bad_shard_ids": [f"s{number}" for number in range(bad_shards)],
        "within_error_budget": within_budget,
        "success": within_budget and statuses.get("ok", 0) > 0,
        "last_run": {"images": 0},
    }


def test_a_success_prints_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    end(summary({"ok": 3, "empty-file": 1}), CHOSEN, "out/report.html", as_json=False)
    assert (
        capsys.readouterr().out
        == "records     4\nok          3\nempty-file  1\noutput      out\nreport      out/report.html\n"
    )


def test_what_was_passed_over_is_told_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    end(summary({"ok": 1}) | {"passed_over": {".json": 4, "hidden": 1}}, CHOSEN, "out/report.html", as_json=False)
    assert "passed over  4 .json, 1 hidden\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (summary({"ok": 3, "empty-file": 1}, False), "more than 1.00% of the records are bad (--max-bad-fraction)"),
        (
            summary({"ok": 3}, False, bad_shards=2),
            "2 archives are damaged or could not be read (--max-bad-shards): s0, s1",
        ),
        (
            summary({"ok": 3}, False, bad_shards=6),
            "6 archives are damaged or could not be read (--max-bad-shards): s0, s1, s2, s3, s4, …",
        ),
        (summary({"empty-file": 2}), "no image could be scored: 2 empty-file"),
        (summary({}), "no image could be scored: there are none"),
    ],
    ids=["too many bad", "two bad shards", "six bad shards", "none ok", "no records"],
)
def test_what_is_no_success_says_why_and_has_an_exit_code_of_its_own(
    capsys: pytest.CaptureFixture[str], found: dict, said: str
) -> None:
    with pytest.raises(typer.Exit) as ended:
        end(found, CHOSEN, "out/report.html", as_json=True)
    assert ended.value.exit_code == BUDGET_EXCEEDED
    printed = capsys.readouterr()
    assert json.loads(printed.out) == found
    assert printed.err == f"{said}\n"


def flags(share: float, source: str = "given", max_flagged: float | None = None) -> dict:
    found = {"threshold": {"value": 0.5, "source": source}, "flagged": 2, "share": share, "low": 0.1, "high": 0.4}
    within = max_flagged is None or share <= max_flagged
    told = {"deciding": "neglabel", "max_flagged": max_flagged, "within_max_flagged": within}
    return {"flags": {**told, "methods": {"neglabel": found}}}


def test_flags_are_told_with_their_interval_and_threshold(capsys: pytest.CaptureFixture[str]) -> None:
    end(summary({"ok": 10}) | flags(0.2), CHOSEN, "out/report.html", as_json=False)
    printed = capsys.readouterr()
    assert "flagged by neglabel  2, 20.00% (10.00% to 40.00%), below 0.5 (given)\n" in printed.out
    assert printed.err == ""


def test_an_estimated_threshold_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    end(summary({"ok": 10}) | flags(0.2, "estimated"), CHOSEN, "out/report.html", as_json=True)
    assert "cuts even where everything belongs" in capsys.readouterr().err


def test_more_flags_than_may_be_have_an_exit_code_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    end(summary({"ok": 10}) | flags(0.2, max_flagged=0.2), CHOSEN, "out/report.html", as_json=True)
    with pytest.raises(typer.Exit) as ended:
        end(summary({"ok": 10}) | flags(0.2, max_flagged=0.1), CHOSEN, "out/report.html", as_json=True)
    assert ended.value.exit_code == DRIFT
    said = "20.00% of the images are flagged by neglabel, more than 10.00% (--max-flagged)\n"
    assert capsys.readouterr().err == said
