"""Where a report goes: to the terminal, or to a file whose name says of which kind it is."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import CallerError, WriteError
from pipelines.reports.html.page import Page
from pipelines.reports.output import format_of, put_report
from pipelines.reports.tables import Report, Table
from tests.pipelines.reports.html.made_page import page


class Found:
    """A report of one number."""

    def report(self) -> Report:
        return Report("title", [Table("numbers", ("name", "number"), [("one", 1)])])

    def to_json(self) -> dict[str, Any]:
        return {"one": 1}


def shown() -> Page:
    return page([])


def no_page() -> Page:
    raise AssertionError("a page that nobody asks for is not made")


@pytest.mark.parametrize(
    ("output", "form"),
    [
        (None, None), ("", None), ("night.html", "html"), ("s3://bucket/night.md", "markdown"), ("a/b.json", "json"),
        ("night.txt", "text"), ("night", None), ("html", None), ("night.html/x", None),
    ],
)  # fmt: skip
def test_a_files_name_says_of_which_kind_it_is(output: str | None, form: str | None) -> None:
    assert format_of(output) == form


@pytest.mark.parametrize(
    ("form", "begins"), [("text", "title\n"), ("markdown", "# title\n"), ("json", "{\n"), ("html", "<!doctype html>")]
)
def test_a_report_is_returned_in_each_format_or_written(tmp_path: Path, form: str, begins: str) -> None:
    content = put_report(Found(), shown if form == "html" else no_page, form, None, {})
    assert content.startswith(begins)
    assert content.endswith("\n") or form == "html"
    assert put_report(Found(), shown, form, str(tmp_path / "new/folder/file"), {}) == ""
    assert (tmp_path / "new/folder/file").read_text(encoding="utf-8") == content


def test_a_name_without_a_folder_is_written_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put_report(Found(), no_page, "json", "night.json", {})
    assert (tmp_path / "night.json").read_text() == '{\n  "one": 1\n}\n'


@pytest.mark.parametrize("output", ["", "folder/", "/", "folder/.", ".."])
def test_what_is_no_files_name_is_refused_before_any_work(output: str) -> None:
    with pytest.raises(CallerError) as refused:
        put_report(Found(), no_page, "html", output, {})
    assert str(refused.value) == f"--output {output!r} is no file's name"


def test_a_file_that_cannot_be_written_is_an_error_of_writing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteError):
        put_report(Found(), no_page, "text", str(tmp_path / "file/night.txt"), {})
