import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.commands.app import app
from pipelines.errors import CallerError
from pipelines.reports.labels.show import show, show_decision
from pipelines.storage import Directory
from tests.conftest import Storage
from tests.pipelines.reports.labels.made_bank import ROWS, answers, bank, decisions

GIVEN: dict[tuple[str, str | None], float | str] = {
    ("paris", None): 0.875,
    ("golden retriever", None): 0.25,
    ("golden retriever", "dog"): 0.75,
    ("cloud", None): 0.125,
    ("cloud", "dog"): "Connection error",
    ("cloud", "cat"): "Timeout",
}


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    answers(bank(tmp_path / "bank"), GIVEN)
    return tmp_path / "bank"


def printed(*arguments: str | Path) -> str:
    ended = CliRunner().invoke(app, ["labels", "show", *map(str, arguments)], catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.stdout


def refusal(*arguments: str | Path) -> str:
    with pytest.raises(CallerError) as refused:
        printed(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_went_at_each_step_is_counted_and_explained(judged: Path) -> None:
    content_hash = json.loads((judged / "bank.json").read_text())["content_hash"]
    assert (
        printed(judged)
        == f"""\
label bank {judged}

what it is
  setting               value
  model                 bundled
  temperature           0.01
  permutation_seed      0
  judge.name            http
  judge.model           tiny
  judge.prompt_version  negrefine-1
  content hash          {content_hash}

steps
  labels                               noun  adjective  total
  ID labels                               2          0      2
  candidates                             50         10     60
  kept by the criterion                   5          1      6
  removed: proper noun                    1          0      1
  removed: same as an ID label            0          0      0
  removed: subcategory of an ID label     2          0      2
  kept, but unjudged                      1          0      1
  negative labels                         2          1      3

removed: proper noun (1)
  label  part  selection score  why            P(yes)
  paris  noun         0.300000  proper noun  0.875000

removed: subcategory of an ID label (2)
  label             part  selection score  why                   P(yes)
  golden retriever  noun         0.200000  subcategory of dog  0.750000
  tabby             noun         0.500000  subcategory of cat

kept, but unjudged (1)
  label  part  selection score  why
  cloud  noun         0.400000  subcategory of dog? Connection error

kept (2)
  label   part       selection score
  hammer  noun              0.100000
  round   adjective         0.150000
"""
    )


def test_the_same_as_markdown(judged: Path) -> None:
    blocks = printed(judged, "--format", "markdown", "--examples", "1").split("\n\n")
    assert blocks[0] == f"# label bank {judged}".replace("_", r"\_")
    assert "| judge.prompt\\_version | negrefine-1 |" in blocks[2].splitlines()
    assert blocks[4].splitlines()[:3] == [
        "| labels | noun | adjective | total |",
        "|---|---:|---:|---:|",
        "| ID labels | 2 | 0 | 2 |",
    ]
    assert blocks[7] == "## removed: subcategory of an ID label (2, the first 1)"
    assert blocks[8].splitlines() == [
        "| label | part | selection score | why | P(yes) |",
        "|---|---|---:|---|---:|",
        "| golden retriever | noun | 0.200000 | subcategory of dog | 0.750000 |",
    ]


@pytest.mark.parametrize("form", [["--json"], ["--format", "json"], ["--format", "json", "--json"]])
def test_the_same_as_json(judged: Path, form: list[str]) -> None:
    said = json.loads(printed(judged, *form))
    assert said["bank"] == str(judged)
    assert said["judge"]["prompt_version"] == "negrefine-1"
    assert said["steps"]["kept-by-criterion"] == {"noun": 5, "adjective": 1}
    assert said["steps"]["subcategory"] == {"noun": 2, "adjective": 0}
    assert said["decisions"]["subcategory"]["count"] == 2
    assert said["decisions"]["unjudged"]["examples"] == [
        {
            "negative": "cloud",
            "spelled": "cloud",
            "part": "noun",
            "selection_score": 0.4,
            "decision": "unjudged",
            "id_label": None,
            "probability_yes": None,
            "why": "subcategory of dog? Connection error",
        }
    ]


def test_all_candidates_of_one_decision_are_listed_best_first(judged: Path) -> None:
    assert (
        printed(judged, "--decision", "subcategory")
        == f"""\
label bank {judged}

removed: subcategory of an ID label (2)
  label             part  selection score  why                   P(yes)
  golden retriever  noun         0.200000  subcategory of dog  0.750000
  tabby             noun         0.500000  subcategory of cat
"""
    )
    assert [one["negative"] for one in json.loads(printed(judged, "--decision", "kept", "--json"))["candidates"]] == [
        "hammer",
        "round",
    ]


@pytest.mark.parametrize(("examples", "shown"), [(["--examples", "1"], 1), (["--examples", "0"], 0), ([], 2)])
def test_of_one_decision_so_many_are_listed(judged: Path, examples: list[str], shown: int) -> None:
    said = json.loads(printed(judged, "--decision", "subcategory", "--json", *examples))
    assert (said["count"], len(said["candidates"])) == (2, shown)


def test_the_best_of_a_large_bank_are_found_across_its_blocks(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).permutation(150_000) / 150_000
    rows = [(f"word {number}", "noun", float(score), "kept", None) for number, score in enumerate(scores)]
    decisions(bank(tmp_path, ROWS), rows)
    found = show(Directory(str(tmp_path)), 3)
    assert [one.selection_score for one in found.examples["kept"]] == [0, 1 / 150_000, 2 / 150_000]
    assert found.totals["kept"] == 150_000


def test_what_was_cleaned_is_shown_as_the_corpus_has_it(tmp_path: Path) -> None:
    rows = [("oclock", "noun", 0.1, "proper-noun", None), ("hammer", "noun", 0.2, "kept", None)]
    decisions(bank(tmp_path, rows), rows, {"oclock": "o'clock"})
    assert printed(tmp_path, "--decision", "proper-noun").splitlines()[2:] == [
        "removed: proper noun (1)",
        "  label   in the corpus  part  selection score  why",
        "  oclock  o'clock        noun         0.100000  proper noun",
    ]


def test_a_bank_without_a_judge_has_no_decisions(tmp_path: Path) -> None:
    bank(tmp_path, ROWS, judge={"name": "none"})  # decisions.parquet is an earlier build's
    said = json.loads(printed(tmp_path, "--json"))
    assert list(said["steps"]) == ["id-labels", "candidates", "kept-by-criterion", "negatives"]
    assert [one["negative"] for one in said["decisions"]["kept"]["examples"]] == ["hammer", "round", "cloud"]
    assert refusal(tmp_path, "--decision", "kept") == (
        f"--decision 'kept': no judge left decisions (decisions.parquet) in BANK '{tmp_path}'"
    )


def test_decisions_are_counted_without_their_table(tmp_path: Path) -> None:
    counted = {"candidates_noun": 9, "judged_proper_noun_noun": 4, "judged_kept_noun": 2}
    bank(tmp_path, judged=False, counts=counted)
    steps = json.loads(printed(tmp_path, "--json"))["steps"]
    assert (steps["proper-noun"]["noun"], steps["subcategory"]["noun"]) == (4, 0)


def test_decisions_of_another_build_are_noticed(tmp_path: Path) -> None:
    decisions(bank(tmp_path), ROWS[1:])
    assert printed(tmp_path).splitlines()[1] == (
        "decisions.parquet is not of this bank: it keeps 2 negative labels, and the bank has 3."
    )


def test_a_bank_by_others_is_shown_with_what_it_has(tmp_path: Path) -> None:
    columns = {"text": ["cat", "hammer", "red"], "role": ["id", "negative", "negative"], "embedding": [[1.0]] * 3}
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    assert (
        printed(tmp_path, "--examples", "1")
        == f"""\
label bank {tmp_path}

what it is
  setting           value
  temperature       0.01
  permutation_seed  0
  content hash      not recorded

steps
  labels           noun  total
  ID labels           1      1
  negative labels     2      2

negative labels (2, the first 1)
  label   part
  hammer  noun
"""
    )


def test_labels_act_neither_on_the_terminal_nor_in_markdown(tmp_path: Path) -> None:
    label = "\x1b[31m|`rm`\n*a*_b_<i>\u202e"
    bank(tmp_path, [(label, "noun", 0.1, "subcategory", "a|b"), ROWS[0]])
    text = printed(tmp_path, "--decision", "subcategory")
    assert text.splitlines()[-1] == (r"  \x1b[31m|`rm`\n*a*_b_<i>\u202e  noun         0.100000  subcategory of a|b")
    markdown = printed(tmp_path, "--decision", "subcategory", "--format", "markdown")
    assert markdown.splitlines()[-1] == (
        r"| \\x1b\[31m\|\`rm\`\\n\*a\*\_b\_\<i\>\\u202e | noun | 0.100000 | subcategory of a\|b |"
    )
    said = printed(tmp_path, "--decision", "subcategory", "--json")
    assert json.loads(said)["candidates"][0]["negative"] == label
    assert said.isascii()


def test_wide_letters_take_two_columns_and_long_labels_are_cut(tmp_path: Path) -> None:
    bank(tmp_path, [("犬", "noun", 0.1, "kept", None), ("e\u0301te", "noun", 0.2, "kept", None)])
    assert printed(tmp_path, "--decision", "kept").splitlines()[-2:] == [
        "  犬     noun         0.100000",
        "  e\u0301te    noun         0.200000",
    ]
    bank(tmp_path, [("x" * 200, "noun", 0.1, "kept", None)])
    assert "  " + "x" * 159 + "…  noun" in printed(tmp_path, "--decision", "kept")


def test_a_bank_is_shown_wherever_it_is_kept(storage: Storage, judged: Path) -> None:
    url = storage.upload(judged, "shown")
    found = show(Directory(url, storage.options))
    assert found.counts["subcategory"] == {"noun": 2, "adjective": 0}
    assert found.examples["unjudged"][0].why == "subcategory of dog? Connection error"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "xml"], "--format 'xml' is unknown; the formats are text, markdown, json"),
        (["--format", "text", "--json"], "--format 'text' and --json contradict each other; give one of them"),
        (
            ["--decision", "proper_noun"],
            "--decision 'proper_noun' is unknown; the decisions are kept, unjudged, proper",
        ),
        (["--examples", "-1"], "--examples -1 is below 0"),
    ],
)
def test_a_mistake_is_named(judged: Path, arguments: list[str], said: str) -> None:
    assert refusal(judged, *arguments).startswith(said)


LABELS = {"text": ["cat"], "role": ["id"], "embedding": [[1.0]]}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (LABELS | {"role": ["idd"]}, "labels.parquet has the role 'idd'; roles are 'id' and 'negative'"),
        (LABELS | {"role": ["negative"]}, "a label bank needs at least one label with role 'id'"),
        (LABELS | {"text": pa.array([None], pa.string())}, "labels.parquet has 1 labels without a text"),
        ({"text": ["cat"], "role": ["id"]}, "labels.parquet lacks the column 'embedding'"),
    ],
)
def test_what_is_no_valid_bank_is_refused(tmp_path: Path, labels: dict[str, object], said: str) -> None:
    pq.write_table(pa.table(labels), tmp_path / "labels.parquet")
    with pytest.raises(CallerError) as refused:
        show(Directory(str(tmp_path)))
    assert str(refused.value) == f"BANK '{tmp_path}' is not a valid label bank: {said}"


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("labels.parquet", b"PAR1", "labels.parquet is not a readable Parquet file: "),
        ("decisions.parquet", b"PAR1", "decisions.parquet is not a readable Parquet file: "),
        ("bank.json", b"{", "bank.json is not a valid description of a bank: "),
    ],
)
def test_a_broken_file_is_named(judged: Path, file: str, content: bytes, said: str) -> None:
    (judged / file).write_bytes(content)
    assert refusal(judged).startswith(f"BANK '{judged}' is not a valid label bank: {said}")


def test_an_unknown_decision_in_the_table_is_named(tmp_path: Path) -> None:
    bank(tmp_path, [("hammer", "noun", 0.1, "kept", None)])
    decisions(tmp_path, [("hammer", "noun", 0.1, "doubted", None)])
    with pytest.raises(CallerError, match=r"decisions\.parquet has the decision 'doubted'; decisions are kept, unj"):
        show_decision(Directory(str(tmp_path)), "kept")


def test_a_missing_bank_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone") == (
        f"BANK '{tmp_path}/gone' is not a label bank: it has no labels.parquet; make one with `oodscan labels build`"
    )


@pytest.mark.parametrize(
    "arguments",
    [["show", "--help"], ["show", "nowhere"], ["show", "x", "--format", "y"], ["diff", "--help"], ["diff", "x", "y"]],
)
def test_help_and_mistakes_are_answered_without_torch_and_ray(arguments: list[str]) -> None:
    program = (
        "import sys; from pipelines.commands.app import main; sys.argv = ['oodscan', 'labels', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'open_clip', 'pandas'} & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"
