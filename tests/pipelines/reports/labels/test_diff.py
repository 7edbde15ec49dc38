import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ood_core.labels import LabelBank
from pipelines.commands.app import app
from pipelines.errors import CallerError
from pipelines.reports.labels.diff import Diff, diff
from pipelines.storage import Directory
from tests.conftest import Storage
from tests.pipelines.reports.labels.made_bank import JUDGE, ROWS, Row, answers, bank, decisions


def printed(*arguments: str | Path) -> str:
    ended = CliRunner().invoke(app, ["labels", "diff", *map(str, arguments)], catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.stdout


def difference(one: Path, other: Path) -> Diff:
    return diff(Directory(str(one)), Directory(str(other)))


def content_hash(directory: Path) -> str:
    return json.loads((directory / "bank.json").read_text())["content_hash"]


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """A knows no judge and more ID labels; B removes some of what A keeps, and keeps what A's criterion does not."""
    kept: list[Row] = [(text, part, score, "kept", None) for text, part, score, *_ in ROWS if text != "tabby"]
    one = bank(
        tmp_path / "a",
        [*kept, ("sea", "noun", 0.6, "kept", None)],
        ["cat", "dog", "tabby"],
        False,
        judge={"name": "none"},
    )
    other = bank(tmp_path / "b", [*ROWS, ("hill", "noun", 0.7, "kept", None)], temperature=0.02)
    answers(other, {("paris", None): 0.875, ("golden retriever", "dog"): 0.75})
    return one, other


def test_what_is_in_one_bank_only_is_explained_by_the_other(sides: tuple[Path, Path]) -> None:
    one, other = sides
    assert (
        printed(one, other)
        == f"""\
label banks A and B
The embeddings of the 5 labels in both are the same.

banks
  bank  URL{" " * (len(str(one)) - 3)}  content hash
  A     {one}  {content_hash(one)}
  B     {other}  {content_hash(other)}

settings that differ
  setting               A     B
  temperature           0.01  0.02
  judge.name            none  http
  judge.model           –     tiny
  judge.prompt_version  –     negrefine-1

steps
  labels                               part        A   B
  ID labels                            noun        3   2
  candidates                           noun       50  50
  candidates                           adjective  10  10
  kept by the criterion                noun        5   5
  kept by the criterion                adjective   1   1
  removed: proper noun                 noun            1
  removed: subcategory of an ID label  noun            2
  kept, but unjudged                   noun            1
  negative labels                      noun        5   3
  negative labels                      adjective   1   1

ID labels only in A (1)
  label
  tabby

negative labels only in A; in B removed: proper noun (1)
  label  part  selection score  why            P(yes)
  paris  noun         0.300000  proper noun  0.875000

negative labels only in A; in B removed: subcategory of an ID label (1)
  label             part  selection score  why                   P(yes)
  golden retriever  noun         0.200000  subcategory of dog  0.750000

negative labels only in A; in B not kept by the criterion, or not in the corpus (1)
  label  part  selection score
  sea    noun         0.600000

negative labels only in B; in A not kept by the criterion, or not in the corpus (1)
  label  part  selection score
  hill   noun         0.700000
"""
    )


def test_the_same_as_markdown_and_as_json(sides: tuple[Path, Path]) -> None:
    assert printed(*sides, "--format", "markdown").split("\n\n")[-1].splitlines() == [
        "| label | part | selection score |",
        "|---|---|---:|",
        "| hill | noun | 0.700000 |",
    ]
    said = json.loads(printed(*sides, "--json"))
    assert said["identical"] is False
    assert said["settings"]["judge.name"] == {"A": "none", "B": "http"}
    assert said["id_labels"]["A"] == {"count": 1, "examples": ["tabby"]}
    assert said["embeddings"] == {"compared": 5, "differing": 0, "largest": 0.0}
    assert {reason: found["count"] for reason, found in said["negatives"]["A"].items()} == {
        "proper-noun": 1,
        "subcategory": 1,
        "not-kept": 1,
    }
    assert said["negatives"]["A"]["subcategory"]["examples"][0]["why"] == "subcategory of dog"


def test_identical_banks_are_called_so(tmp_path: Path) -> None:
    one, other = bank(tmp_path / "a"), bank(tmp_path / "b")
    assert (
        printed(one, other)
        == f"""\
label banks A and B
The banks are identical.

banks
  bank  URL{" " * (len(str(one)) - 3)}  content hash
  A     {one}  {content_hash(one)}
  B     {other}  {content_hash(one)}
"""
    )


def test_banks_of_the_same_labels_made_otherwise_are_identical_to_scores(tmp_path: Path) -> None:
    found = difference(bank(tmp_path / "a"), bank(tmp_path / "b", judge=JUDGE | {"model": "other"}))
    assert found.identical
    assert found.notes == ["The banks are identical in all that scores depend on."]
    assert found.settings == {"judge.model": ("tiny", "other")}


HAMMER: Row = ("hammer", "noun", 0.1, "kept", None)


@pytest.mark.parametrize(
    ("here", "there", "reason", "why"),
    [
        (("Dog", "noun", 0.1, "kept", None), ("Dog", "noun", 0.1, "same", "dog"), "same", "same as dog"),
        (("sea", "noun", 0.1, "kept", None), ("sea", "adjective", 0.1, "kept", None), "other-part", "as adjective"),
        (("sea", "noun", 0.1, "kept", None), HAMMER, "not-kept", ""),
        (("cat", "noun", 0.1, "kept", None), HAMMER, "id-label", ""),
    ],
)
def test_every_reason_is_found(tmp_path: Path, here: Row, there: Row, reason: str, why: str) -> None:
    found = difference(bank(tmp_path / "a", [here]), bank(tmp_path / "b", [there, *ROWS])).negatives[0]
    assert [(name, [one.why for one in absent.examples]) for name, absent in found.items()] == [(reason, [why])]


def test_a_label_that_only_one_bank_has_cleaned_is_the_same_label(tmp_path: Path) -> None:
    raw, cleaned = ("o'clock", "noun", 0.1, "kept", None), ("oclock", "noun", 0.1, "kept", None)
    one, other = bank(tmp_path / "a", [raw, HAMMER]), bank(tmp_path / "b", [cleaned, HAMMER])
    decisions(other, [cleaned, HAMMER], {"oclock": "o'clock"})
    found = difference(one, other)
    examples = [reasons["other-spelling"].examples for reasons in found.negatives]
    assert [[(one.negative, one.why) for one in shown] for shown in examples] == [
        [("o'clock", "as oclock")],
        [("oclock", "as o'clock")],
    ]
    decisions(other, [(*cleaned[:3], "proper-noun", None), HAMMER], {"oclock": "o'clock"})
    answers(other, {("oclock", None): 0.75})
    (removed,) = difference(one, other).negatives[0]["proper-noun"].examples
    assert (removed.negative, removed.why, removed.probability_yes) == ("o'clock", "proper noun", 0.75)


def test_a_bank_by_others_does_not_say_why(tmp_path: Path) -> None:
    columns = {"text": ["cat", "sea"], "role": ["id", "negative"], "embedding": np.eye(2, 4).tolist()}
    (tmp_path / "b").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "b" / "labels.parquet")
    found = difference(bank(tmp_path / "a"), tmp_path / "b")
    assert {name: absent.count for name, absent in found.negatives[0].items()} == {"unknown": 3}
    assert found.negatives[1]["not-kept"].examples[0].selection_score is None
    assert found.ids == (["dog"], [])
    json.loads(printed(tmp_path / "a", tmp_path / "b", "--json"), parse_constant=pytest.fail)


def changed(directory: Path, source: Path, **values: object) -> Path:
    replace(LabelBank.load(source), **values).save(directory)
    return directory


def test_embeddings_are_compared_of_the_labels_in_both(tmp_path: Path) -> None:
    one = bank(tmp_path / "a", judged=False)
    embeddings = LabelBank.load(one).embeddings.copy()
    embeddings[1] *= 1 + 1e-7
    embeddings[[0, 3]] *= -1
    found = difference(one, changed(tmp_path / "b", one, embeddings=embeddings))
    largest = 2 * np.abs(embeddings[[0, 3]]).max()
    assert found.embeddings is not None
    assert (found.embeddings.compared, found.embeddings.differing) == (5, 2)
    assert found.notes == [
        "Of the 5 labels in both, 2 have embeddings that differ by more than 1e-06; "
        f"the largest difference is {largest:.3g}."
    ]


def test_embeddings_of_another_dimension_are_not_compared(tmp_path: Path) -> None:
    one = bank(tmp_path / "a", judged=False)
    found = difference(one, changed(tmp_path / "b", one, embeddings=np.eye(5, 7, dtype=np.float32)))
    assert (found.embeddings, found.settings) == (None, {"dimension": (4, 7)})


def test_image_embeddings_are_compared_too(tmp_path: Path) -> None:
    one = bank(tmp_path / "a", judged=False)
    images = np.eye(2, 4, dtype=np.float32)
    other = changed(tmp_path / "b", one, image_embeddings=images)
    assert difference(one, other).settings == {"image embeddings": ("none", "of ID labels")}
    found = difference(other, changed(tmp_path / "c", one, image_embeddings=images[[0, 0]]))
    assert found.notes[1] == (
        "Of the 2 labels in both, 1 have image embeddings that differ by more than 1e-06; the largest difference is 1."
    )


def test_another_order_is_noticed(tmp_path: Path) -> None:
    one, other = bank(tmp_path / "a", ids=["cat", "dog"]), bank(tmp_path / "b", ids=["dog", "cat"])
    assert difference(one, other).notes == [
        "The embeddings of the 5 labels in both are the same.",
        "The ID labels in both stand in another order, or not as often.",
    ]


@pytest.mark.parametrize(
    ("one", "other", "cells"),
    [
        ([1, 2], [2, 1], "the same 2, in another order | the same 2, in another order"),
        ([1, 2, 3], [2], "3, only here: 1, 3 | 1, only here: none"),
        ([1, 2, 3, 4], [5], "1, 2, 3, … (4 in all) | 5"),
        ([1], None, "1 | –"),
    ],
)
def test_of_lists_that_differ_what_differs_is_shown(
    tmp_path: Path, one: list[int], other: list[int] | None, cells: str
) -> None:
    there = {"sources": other} if other else {}
    sides = bank(tmp_path / "a", corpus={"sources": one}), bank(tmp_path / "b", corpus=there)
    assert f"| corpus.sources | {cells} |" in printed(*sides, "--format", "markdown").splitlines()


def test_so_many_examples_are_shown(sides: tuple[Path, Path]) -> None:
    lines = printed(*sides, "--examples", "0").splitlines()
    assert "ID labels only in A (1, the first 0)" in lines
    assert "negative labels only in A; in B removed: proper noun (1, the first 0)" in lines


def test_banks_are_compared_wherever_they_are_kept(storage: Storage, sides: tuple[Path, Path]) -> None:
    one, other = (Directory(storage.upload(side, f"{side.name}-there"), storage.options) for side in sides)
    found = diff(one, other)
    assert list(found.negatives[0]) == ["proper-noun", "subcategory", "not-kept"]


def test_the_bank_that_is_missing_is_named(tmp_path: Path) -> None:
    one = bank(tmp_path / "a")
    for called, pair in (("A", (tmp_path / "gone", one)), ("B", (one, tmp_path / "gone"))):
        with pytest.raises(CallerError, match=f"^{called} '{tmp_path}/gone' is not a label bank: it has no labels"):
            difference(*pair)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--format", "xml"], "--format 'xml' is unknown"), (["--examples", "-1"], "--examples -1 is below 0")],
)
def test_a_mistake_is_named(sides: tuple[Path, Path], arguments: list[str], said: str) -> None:
    with pytest.raises(CallerError, match=f"^{said}"):
        printed(*sides, *arguments)
