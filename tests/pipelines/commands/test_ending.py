import json

import pytest
import typer

from pipelines.commands.ending import end
from pipelines.config.scan import Scan
from pipelines.errors import BUDGET_EXCEEDED

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
    end(summary({"ok": 3, "empty-file": 1}), CHOSEN, as_json=False)
    assert capsys.readouterr().out == "records     4\nok          3\nempty-file  1\noutput      out\n"


def test_what_was_passed_over_is_told_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    end(summary({"ok": 1}) | {"passed_over": {".json": 4, "hidden": 1}}, CHOSEN, as_json=False)
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
        end(found, CHOSEN, as_json=True)
    assert ended.value.exit_code == BUDGET_EXCEEDED
    printed = capsys.readouterr()
    assert json.loads(printed.out) == found
    assert printed.err == f"{said}\n"
