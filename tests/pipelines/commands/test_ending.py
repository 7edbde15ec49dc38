import json

import pytest
import typer

from pipelines.commands.ending import end
from pipelines.config.scan import Scan
from pipelines.errors import BUDGET_EXCEEDED

CHOSEN = Scan(input=("data",), labels="bank", output="out")


def summary(statuses: dict[str, int], within_budget: bool = True) -> dict:
    return {
        "records": sum(statuses.values()),
        "statuses": statuses,
        "within_error_budget": within_budget,
        "success": within_budget and statuses.get("ok", 0) > 0,
        "last_run": {"images": 0},
    }


def test_a_success_prints_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    end(summary({"ok": 3, "empty-file": 1}), CHOSEN, as_json=False)
    assert capsys.readouterr().out == "records     4\nok          3\nempty-file  1\noutput      out\n"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (summary({"ok": 3, "empty-file": 1}, False), "more than 1.00% of the records are bad (--max-bad-fraction)"),
        (summary({"empty-file": 2}), "no image could be scored: 2 empty-file"),
        (summary({}), "no image could be scored: there are none"),
    ],
    ids=["too many bad", "none ok", "no records"],
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
