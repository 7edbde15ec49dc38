import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.consensus.exact import UNIT
from pipelines.consensus.tables import TOTALS_KEY
from pipelines.reports.anchors.show import show
from pipelines.scan_directory.layout import SCORES, VOTES, shard_file
from pipelines.storage import Directory
from tests.conftest import Storage
from tests.pipelines.reports.anchors.made_consensus import (
    ANCHORS,
    FIRST,
    ODD,
    SECOND,
    THIRD,
    WEIGHTS,
    begun,
    end,
    put,
    put_consensus,
    put_scores,
    save_bank,
    scores_table,
    whole,
)
from tests.pipelines.reports.shown import Showing, bad_bank, cut, gone_bank, rewritten

NOTHING, SOMEWHAT, ALIKE = (
    "an image's neighbours say nothing of its own score, and consensus leaves scores alone",
    "neighbours are scored somewhat alike, and consensus moves scores a little towards each other",
    "neighbours are scored alike, and consensus judges kinds of images as one",
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The directory of a scan that has ended."""
    return whole(tmp_path)


SHOWING = Showing("anchors")
printed, said_of, refusal = SHOWING.printed, SHOWING.said_of, SHOWING.refusal


TEXT = """\
anchors of scan {out}

what it is
               value
  base method  neglabel
  label bank   {bank}
  images       7
  anchors      4, of which 3 are an image's nearest
  agreement c  0.509, the correlation of images' scores with their neighbours'
  which means  neighbours are scored alike, and consensus judges kinds of images as one

how much neighbours counted for an image (consensus_weight, 0 to 0.97)
  quantile    weight
  0.01      0.125000
  0.5       0.250000
  0.99      0.500000

anchors most out of place: by lowest mean score by consensus (standard deviations of the log-odds of neglabel; \
0 is the scan's mean)
"""


def test_a_consensus_is_shown_with_its_anchors_most_out_of_place(out: Path) -> None:
    told = printed(out)
    assert told.startswith(TEXT.format(out=out, bank=out.parent / "bank"))
    lines = [" ".join(line.split()) for line in told.partition("0 is the scan's mean)\n")[2].splitlines()]
    assert lines == [
        "anchor images mean neglabel mean consensus mean shift nearest ID label its cosine nearest negatives their "
        "cosine images of lowest score shard their score",
        "1 2 0.437500 -1.00000 0.375000 dog 0.600000 red|hot 0.800000 b2 data-22222222 -1.25000",
        "hammer 0.00000 c0 data-33333333 -0.750000",
        "flag 0.00000",
        "2 4 0.375000 -1.00000 -0.125000 dog 0.500000 hammer 0.500000 a2 data-11111111 -1.50000",
        r"red|hot 0.500000 b|2\n\x1b[31m data-22222222 -1.50000",
        "cloud 0.500000 b0 data-22222222 -1.00000",
        "c1 data-33333333 0.00000",
        "0 1 0.875000 1.00000 0.250000 cat 1.00000 hammer 0.00000 a0 data-11111111 1.00000",
        "flag 0.00000",
        "red|hot 0.00000",
    ]


def test_nothing_in_a_key_or_a_label_acts_on_markdown(out: Path) -> None:
    told = printed(out, "--format", "markdown", "--top", "2")
    assert told.splitlines()[0] == "# anchors of scan " + str(out).replace("_", r"\_")
    assert told.splitlines()[-7:-1] == [
        r"| 1 | 2 | 0.437500 | -1.00000 | 0.375000 | dog | 0.600000 | red\|hot | 0.800000 | b2 | data-22222222 | "
        "-1.25000 |",
        "|  |  |  |  |  |  |  | hammer | 0.00000 | c0 | data-33333333 | -0.750000 |",
        "|  |  |  |  |  |  |  | flag | 0.00000 |  |  |  |",
        "| 2 | 4 | 0.375000 | -1.00000 | -0.125000 | dog | 0.500000 | hammer | 0.500000 | a2 | data-11111111 | "
        "-1.50000 |",
        r"|  |  |  |  |  |  |  | red\|hot | 0.500000 | b\|2\\n\\x1b\[31m | data-22222222 | -1.50000 |",
        "|  |  |  |  |  |  |  | cloud | 0.500000 | b0 | data-22222222 | -1.00000 |",
    ]


@pytest.mark.parametrize("form", [["--json"], ["--format", "json"]])
def test_the_same_as_json(out: Path, form: list[str]) -> None:
    said = json.loads(printed(out, "--top", "1", *form))
    agreement = said.pop("agreement")
    assert agreement == pytest.approx(0.5086446710885181, abs=1e-9)
    assert said == {
        "scan": str(out),
        "label_bank": f"{out.parent}/bank",
        "base": "neglabel",
        "meaning": ALIKE,
        "images": 7,
        "anchors": 4,
        "nearest_to_some": 3,
        "consensus_weight": WEIGHTS,
        "reference": None,
        "most_out_of_place": [
            {
                "anchor": 1,
                "images": 2,
                "mean_base_score": 0.4375,
                "mean_consensus_score": -1.0,
                "mean_shift": 0.375,
                "nearest_id_label": {"label": "dog", "cosine": pytest.approx(0.6)},
                "nearest_negatives": [
                    {"label": "red|hot", "cosine": pytest.approx(0.8)},
                    {"label": "hammer", "cosine": 0.0},
                    {"label": "flag", "cosine": 0.0},
                ],
                "examples": [
                    {"key": "b2", "shard": SECOND, "index": 2, "score": -1.25},
                    {"key": "c0", "shard": THIRD, "index": 0, "score": -0.75},
                ],
            }
        ],
        "notes": [],
    }


def test_keys_in_json_are_as_they_are(out: Path) -> None:
    anchor = said_of(out, "--top", "2")["most_out_of_place"][1]
    assert [one["key"] for one in anchor["examples"]] == ["a2", ODD, "b0", "c1"]


@pytest.mark.parametrize(("top", "anchors"), [("0", []), ("1", [1]), ("2", [1, 2]), ("50", [1, 2, 0])])
def test_anchors_that_are_no_images_nearest_are_left_out(out: Path, top: str, anchors: list[int]) -> None:
    assert [one["anchor"] for one in said_of(out, "--top", top)["most_out_of_place"]] == anchors


def test_no_anchors_are_shown_if_none_are_asked_for(out: Path) -> None:
    assert printed(out, "--top", "0").endswith("0 is the scan's mean)\n")


def test_of_an_anchor_the_five_images_of_lowest_score_are_shown(tmp_path: Path) -> None:
    files = begun(tmp_path)
    put_consensus(files)
    put_scores(files)
    lower: list[Any] = [("low", 2, 0.5, -3.0, 0.5), ("level", 2, 0.5, -1.5, 0.0)]
    put(files, SCORES, THIRD, scores_table(THIRD, lower))
    found = said_of(tmp_path / "out")["most_out_of_place"]
    examples = {one["anchor"]: [image["key"] for image in one["examples"]] for one in found}
    assert examples == {2: ["low", "a2", ODD, "level", "b0"], 1: ["b2"], 0: ["a0"]}


def agreeing(out: Path, correlation: float) -> None:
    """Rewrites the stored sums of step 3 so that the agreement is this correlation."""
    path = out / "consensus/sums-3.parquet"
    table = pq.read_table(path)
    totals = {"u": 0, "m": 0, "uu": 7, "mm": 7, "um": 7 * correlation}
    described = {
        "largest": 0.0,
        "totals": {name: hex(int(total * 2**10) << UNIT - 10) for name, total in totals.items()},
    }
    metadata = {**table.schema.metadata, TOTALS_KEY: json.dumps(described)}
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    ("correlation", "told", "meaning"),
    [
        (-0.5, "0.000", NOTHING),
        (0.0625, "0.062", NOTHING),
        (0.25, "0.250", SOMEWHAT),
        (0.75, "0.750", ALIKE),
        (1.0, "1.000", ALIKE),
    ],
)
def test_it_says_in_words_what_the_agreement_means(out: Path, correlation: float, told: str, meaning: str) -> None:
    agreeing(out, correlation)
    said = printed(out)
    assert f"\n  agreement c  {told}, the correlation" in said
    assert f"\n  which means  {meaning}\n" in said


def test_a_scan_without_its_summary_is_shown_if_every_shard_is_scored(out: Path) -> None:
    (out / "summary.json").unlink()
    said = said_of(out)
    assert said["notes"] == ["The scan has no summary yet, so there are no quantiles of how much neighbours counted."]
    assert (said["consensus_weight"], len(said["most_out_of_place"])) == (None, 3)
    assert "how much neighbours counted for" not in printed(out)


def test_a_summary_without_the_quantiles_is_one_too(out: Path) -> None:
    (out / "summary.json").write_text('{"quantiles": {}}')
    assert said_of(out)["consensus_weight"] is None


@pytest.mark.parametrize("scored", [[], [FIRST, SECOND]])
def test_a_scan_that_has_not_finished_says_how_far_it_is(tmp_path: Path, scored: Sequence[str]) -> None:
    files = begun(tmp_path)
    for shard in scored:
        put(files, SCORES, shard, scores_table(shard, []))
    assert refusal(tmp_path / "out") == (
        f"SCAN '{tmp_path}/out' has not finished: {len(scored)} of its 4 shards have scores by consensus; "
        "rerun the command that it was made with"
    )


def test_a_scan_without_consensus_says_so(tmp_path: Path) -> None:
    begun(tmp_path, method=("mcm", "neglabel"), param={})
    assert refusal(tmp_path / "out") == (
        f"SCAN '{tmp_path}/out' has no anchors: none of its methods mcm, neglabel is consensus; "
        "scan or rescore with --method consensus beside one of them"
    )


@pytest.mark.parametrize("name", ["nowhere", "data", "file", "file/below"])
def test_what_is_no_scan_directory_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "file").write_text("no directory")
    assert refusal(tmp_path / name) == (
        f"SCAN '{tmp_path}/{name}' is not a scan directory: it has no scan.json or no plan.parquet"
    )


def test_a_bank_without_negatives_has_none_to_show(tmp_path: Path) -> None:
    files = begun(tmp_path, negatives=0)
    put_consensus(files)
    put_scores(files)
    end(files)
    found = said_of(tmp_path / "out", "--top", "1")["most_out_of_place"][0]
    assert (found["nearest_id_label"]["label"], found["nearest_negatives"]) == ("dog", [])
    assert " dog " in printed(tmp_path / "out", "--top", "1")


def other_bank(directory: Path) -> None:
    save_bank(directory.parent, 3)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (other_bank, "the label bank '{}' has changed since the scan was made."),
        (gone_bank, "the label bank '{}' is not a label bank: it has no labels.parquet; make one with"),
        (bad_bank, "the label bank '{}' is not a valid label bank: labels.parquet is not a readable Parquet file"),
    ],
)
def test_without_its_label_bank_anchors_are_shown_without_labels(
    out: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(out.parent / "bank")
    said = said_of(out)
    assert said["notes"][0].startswith("No labels are shown beside the anchors: " + reason.format(out.parent / "bank"))
    found = said["most_out_of_place"]
    assert [(one["anchor"], one["nearest_id_label"], one["nearest_negatives"]) for one in found] == [
        (1, None, None),
        (2, None, None),
        (0, None, None),
    ]
    told = printed(out)
    assert said["notes"][0] in told or len(said["notes"][0]) > 160
    assert "nearest" not in told.partition("0 is the scan's mean)\n")[2]
    assert [line.split()[0] for line in told.splitlines()[-7:]] == ["1", "c0", "2", r"b|2\n\x1b[31m", "b0", "c1", "0"]


def flipped(name: str) -> Callable[[bytes], bytes]:
    """A change of a Parquet file that flips one bit in a column."""

    def apply(content: bytes) -> bytes:
        group = pq.read_metadata(io.BytesIO(content)).row_group(0)
        chunks = (group.column(number) for number in range(group.num_columns))
        chunk = next(chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] == name)
        first = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
        place = first + chunk.total_compressed_size - 1
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return apply


def column(name: str, values: pa.Array) -> Callable[[bytes], bytes]:
    """A change of a Parquet file that replaces a column."""
    return rewritten(lambda table: table.set_column(table.column_names.index(name), name, values))


of_another = rewritten(lambda table: table.replace_schema_metadata({b"oodscan.fingerprint": b"another"}))
fewer = rewritten(lambda table: table.slice(0, len(table) - 1))
SCORED, VOTED, SUMMED = shard_file(SCORES, FIRST), shard_file(VOTES, FIRST), "consensus/sums-{}.parquet"
FOREIGN = "it carries the fingerprint of another scan"


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("scan.json", cut, "scan.json: "),
        ("scan.json", lambda _: b"[]", "scan.json: "),
        ("scan.json", lambda content: content.replace(b'"neglabel",\n', b'"telepathy",\n'), "scan.json: --method"),
        ("plan.parquet", cut, "plan.parquet: "),
        ("summary.json", lambda _: b"{}", "summary.json: "),
        ("summary.json", lambda _: b'{"quantiles": {"consensus_weight": 3}}', "summary.json: "),
        ("consensus/anchors.parquet", cut, "consensus/anchors.parquet: "),
        ("consensus/anchors.parquet", flipped("embedding"), "consensus/anchors.parquet: "),
        ("consensus/anchors.parquet", of_another, f"consensus/anchors.parquet: {FOREIGN}"),
        (
            "consensus/anchors.parquet",
            rewritten(lambda table: table.slice(0, 0)),
            "consensus/anchors.parquet: it has no anchors, or anchors without an embedding",
        ),
        (
            "consensus/anchors.parquet",
            column("embedding", pa.array((2 * ANCHORS).tolist(), pa.list_(pa.float32(), 6))),
            "consensus/anchors.parquet: it has anchors that are not of unit length",
        ),
        (
            "consensus/anchors.parquet",
            column("embedding", pa.array(np.eye(4).tolist(), pa.list_(pa.float32(), 4))),
            "consensus/anchors.parquet: its anchors have 4 numbers, and the labels' embeddings 6",
        ),
        ("consensus/anchors.parquet", fewer, "consensus/sums-0.parquet: it is of 4 anchors, and there are 3"),
        (SUMMED.format(2), cut, "consensus/sums-2.parquet: "),
        (SUMMED.format(6), of_another, f"consensus/sums-6.parquet: {FOREIGN}"),
        (SUMMED.format(1), fewer, "consensus/sums-1.parquet: it is of 3 anchors, and there are 4"),
        (VOTED, cut, f"{VOTED}: "),
        (VOTED, of_another, f"{VOTED}: {FOREIGN}"),
        (VOTED, fewer, f"{VOTED}: it has votes of 2 records, and {SCORED} scores of 3"),
        (SCORED, cut, f"{SCORED}: "),
        (SCORED, flipped("score_consensus"), f"{SCORED}: "),
        (SCORED, flipped("key"), f"{SCORED}: "),
        (SCORED, of_another, f"{SCORED}: {FOREIGN}"),
        (SCORED, rewritten(lambda table: table.drop_columns(["anchor"])), f"{SCORED}: it has no column anchor"),
        (
            SCORED,
            column("anchor", pa.array([0, None, 4], pa.int32())),
            f"{SCORED}: it has an image of anchor 4, and the last is 3",
        ),
        (
            SCORED,
            column("anchor", pa.array([-1, None, 0], pa.int32())),
            f"{SCORED}: it has an image of anchor -1, and the last is 3",
        ),
        (
            SCORED,
            column("anchor", pa.array([0, None, None], pa.int32())),
            f"{SCORED}: it has images of status ok without anchor",
        ),
        (
            SCORED,
            column("consensus_shift", pa.array([0.5, None, None])),
            f"{SCORED}: it has images of status ok without consensus_shift",
        ),
        (SCORED, column("key", pa.array(["a0", "bad", None])), f"{SCORED}: it has images of status ok without key"),
        (
            SCORED,
            column("score_neglabel", pa.array([0.5, None, np.nan])),
            f"{SCORED}: it has images of status ok without score_neglabel",
        ),
        (
            SCORED,
            column("status", pa.array(["ok", "unreadable-image", "unreadable-image"])),
            "its score tables hold 6 images with score_consensus, and consensus is of 7",
        ),
    ],
)
def test_a_damaged_file_is_named(out: Path, name: str, spoil: Callable[[bytes], bytes], said: str) -> None:
    (out / name).write_bytes(spoil((out / name).read_bytes()))
    assert refusal(out).startswith(f"SCAN '{out}' cannot be read: {said}")


@pytest.mark.parametrize("name", ["consensus/anchors.parquet", SUMMED.format(0), SUMMED.format(6), VOTED, SCORED])
def test_a_missing_file_is_named(out: Path, name: str) -> None:
    (out / name).unlink()
    assert refusal(out) == f"SCAN '{out}' cannot be read: {name} is missing"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--top", "-1"], "--top -1 is below 0; it is how many anchors to show"),
        (["--format", "xml"], "--format 'xml' is unknown; the formats are text, markdown, json"),
        (["--format", "text", "--json"], "--format 'text' and --json contradict each other; give one of them"),
    ],
)
def test_a_mistaken_option_is_named(out: Path, arguments: list[str], said: str) -> None:
    assert refusal(out, *arguments) == said


def test_a_scan_can_be_anywhere(out: Path, storage: Storage) -> None:
    url = storage.upload(out, "elsewhere")
    found = show(Directory(url, storage.options))
    assert (found.agreement.images, [one.anchor for one in found.lowest]) == (7, [1, 2, 0])
    assert [one.key for one in found.lowest[1].examples] == ["a2", ODD, "b0", "c1"]


@pytest.mark.parametrize(
    ("arguments", "imported"),
    [
        (["--help"], "[]"),
        (["show", "nowhere"], "[]"),
        (["show", "OUT", "--format", "xml"], "[]"),
        (["show", "OUT"], "['pandas']"),  # by pyarrow, once it is asked for numbers
    ],
)
def test_anchors_are_shown_without_torch_and_ray(out: Path, arguments: list[str], imported: str) -> None:
    program = (
        "import sys; from pipelines.commands.app import main; sys.argv = ['oodscan', 'anchors', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'open_clip', 'faiss', 'pandas'} & set(sys.modules)), file=sys.stderr)"
    )
    given = [str(out) if argument == "OUT" else argument for argument in arguments]
    ended = subprocess.run([sys.executable, "-c", program, *given], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == imported
