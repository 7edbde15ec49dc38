import pytest

from pipelines.commands.options import parse_format
from pipelines.errors import CallerError

FORMATS = ["markdown", "json", "csv"]


@pytest.mark.parametrize(
    ("name", "as_json", "chosen"),
    [(None, False, "markdown"), (None, True, "json"), ("json", True, "json"), ("csv", False, "csv")],
)
def test_one_format_is_printed(name: str | None, as_json: bool, chosen: str) -> None:
    assert parse_format(name, as_json, FORMATS) == chosen


@pytest.mark.parametrize(
    ("name", "as_json", "said"),
    [
        ("xml", False, "--format 'xml' is unknown; the formats are markdown, json, csv"),
        ("csv", True, "--format 'csv' and --json contradict each other; give one of them"),
        ("markdown", True, "--format 'markdown' and --json contradict each other; give one of them"),
    ],
)
def test_a_format_that_cannot_be_printed_is_refused(name: str, as_json: bool, said: str) -> None:
    with pytest.raises(CallerError) as refused:
        parse_format(name, as_json, FORMATS)
    assert str(refused.value) == said
