import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from pipelines.config.memory import Memory
from pipelines.inputs.image_plan import plan_images
from pipelines.memory.files import MemoryFiles, memory_table
from pipelines.reports.memory.show import show
from pipelines.scan_directory.identity import asked_for, begin, fingerprint, model_identity
from pipelines.scan_directory.layout import EXTRA_NEGATIVES, INITIAL
from pipelines.storage import Directory
from tests.conftest import Storage
from tests.pipelines.made_scan import FACTS, SPEC, renamed
from tests.pipelines.reports.shown import Showing, bad_bank, configured, cut, gone_bank, rewritten

EMPTY, FIRST, SECOND = "empty-e0e0e0e0", "data-11111111", "data-22222222"
Image = tuple[int, float, str]
"""Row, priority, key."""
Of = Mapping[str, Sequence[Image]]
"""Images by method."""

OFFERED: Mapping[str, Of] = {
    EMPTY: {"adaneg": []},
    FIRST: {"adaneg": [(0, 0.5, "a0"), (0, 0.25, "a1"), (4, 0.125, "a2")]},
    SECOND: {"adaneg": [(0, 0.375, "b0"), (4, 0.625, "b1"), (5, 1.0, "b|2\n\x1b[31m")]},
}
REMEMBERED: Of = {
    "adaneg": [(0, 0.25, "a1"), (0, 0.375, "b0"), (4, 0.125, "a2"), (4, 0.625, "b1"), (5, 1.0, "b|2\n\x1b[31m")]
}
TRAFFIC = {"calls": 2, "offered": 8, "entered": 6, "bytes": 4096, "published": 0, "published_bytes": 0}
RAN = {"images": 5, "memory": {"images": 5, "actors": 1, "actors_cpu_s": 0.25, "adaneg": TRAFFIC}}


def table(images: Of) -> pa.Table:
    """A table of the memory with these images."""
    parts = []
    for method, found in images.items():
        rows, priorities, keys = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [])
        candidates = Candidates(
            np.array(rows, np.int64), np.array(priorities, np.float64), keys, np.ones((len(found), 4), np.float32)
        )
        parts.append(memory_table(method, candidates))
    return pa.concat_tables(parts)


def begun(root: Path, **chosen: Any) -> MemoryFiles:
    """The memory files of a scan that remembers nothing yet: five images in three shards, and two ID labels."""
    bank = LabelBank(
        ["cat", "dog", "hammer", "flag", "red|hot", "cloud"], ["noun"] * 6, 2, np.eye(6, dtype=np.float32),
        np.full(6, np.nan), [None] * 6,
    )  # fmt: skip
    bank.save(root / "bank")
    (root / "data").mkdir()
    (root / "data/empty.tar").write_bytes(bytes(10240))
    for number in range(5):
        (root / f"data/{number}.jpg").write_bytes(b"image")
    config = configured(root, **{"method": ("neglabel", "adaneg"), "param": {"adaneg.memory_length": 3}} | chosen)
    planned = renamed(plan_images(config.input, config.read, {}), [EMPTY, FIRST, SECOND])
    output = Directory(config.output)
    identity = asked_for(config, config.methods(), bank.content_hash(), planned) | model_identity(SPEC, FACTS)
    begin(output, config, identity, planned)
    return MemoryFiles(output, fingerprint(identity), 4)


def remember(
    files: MemoryFiles, offered: Mapping[str, Of] = OFFERED, snapshot: Of | None = None, of: Sequence[str] = ()
) -> None:
    """Writes the candidates of shards, and a snapshot that holds the shards `of`, by default all."""
    for shard, images in offered.items():
        files.put(f"memory/candidates/part-{shard}.parquet", table(images))
    if snapshot is not None:
        memories = {
            method: Candidates(
                np.array([row for row, _, _ in images], np.int64),
                np.array([priority for _, priority, _ in images]),
                [key for _, _, key in images],
                np.ones((len(images), 4), np.float32),
            )
            for method, images in snapshot.items()
        }
        files.put_snapshot(memories, of or offered)


def end(files: MemoryFiles, last_run: Mapping[str, Any] = RAN) -> None:
    """Writes the scan's summary."""
    files.output.put("summary.json", json.dumps({"records": 5, "last_run": last_run}).encode())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The directory of a scan with AdaNeg that has ended."""
    files = begun(tmp_path)
    remember(files, OFFERED, REMEMBERED)
    end(files)
    return tmp_path / "out"


SHOWING = Showing("memory")
printed, said_of, refusal = SHOWING.printed, SHOWING.said_of, SHOWING.refusal


def test_a_memory_is_shown_with_what_it_has_cost(out: Path) -> None:
    assert (
        printed(out)
        == f"""\
memory of scan {out}

what it is
  setting            value
  methods            adaneg (transductive)
  label bank         {out.parent}/bank
  shards remembered  3 of 3
  records            5
  began with         an empty memory
  last run           5 images; actors: 1, which took 0.25 s of CPU

images
                                        adaneg
  remembered                                 5
  candidates of the shards                   6
  candidates a record                  1.20000
  candidates remembered                      5
  share of candidates not remembered  0.166667

traffic of the last run
                              adaneg
  calls                            2
  images offered                   8
  images entered                   6
  bytes offered                4,096
  publications                     0
  bytes published                  0
  share of offers rejected  0.250000

adaneg: rows by how many images they hold
                 ID labels  negative labels
  rows                   2                4
  empty                  1                2
  partly filled          0                1
    of 1                 0                1
  full, of 2             1                1
  images                 2                3

adaneg: labels that learned most: by number of images, then by lowest mean priority (entropy)
  label    role      row  images  mean priority  image          its priority
  cat      id          0       2       0.312500  a1                 0.250000
                                                 b0                 0.375000
  red|hot  negative    4       2       0.375000  a2                 0.125000
                                                 b1                 0.625000
  cloud    negative    5       1        1.00000  b|2\\n\\x1b[31m       1.00000
"""
    )


def test_nothing_in_a_key_or_a_label_acts_on_markdown(out: Path) -> None:
    lines = printed(out, "--format", "markdown", "--top", "3").splitlines()
    assert lines[0] == "# memory of scan " + str(out).replace("_", r"\_")
    assert lines[-6:] == [
        "|---|---|---:|---:|---:|---|---:|",
        "| cat | id | 0 | 2 | 0.312500 | a1 | 0.250000 |",
        "|  |  |  |  |  | b0 | 0.375000 |",
        r"| red\|hot | negative | 4 | 2 | 0.375000 | a2 | 0.125000 |",
        "|  |  |  |  |  | b1 | 0.625000 |",
        r"| cloud | negative | 5 | 1 | 1.00000 | b\|2\\n\\x1b\[31m | 1.00000 |",
    ]


@pytest.mark.parametrize("form", [["--json"], ["--format", "json"]])
def test_the_same_as_json(out: Path, form: list[str]) -> None:
    assert json.loads(printed(out, "--top", "1", *form)) == {
        "scan": str(out),
        "label_bank": f"{out.parent}/bank",
        "shards": 3,
        "planned_shards": 3,
        "records": 5,
        "initial_memory": None,
        "last_run": {"images": 5, "actors": 1, "actors_cpu_s": 0.25},
        "methods": {
            "adaneg": {
                "order": "transductive",
                "images": 5,
                "candidates": 6,
                "candidates_remembered": 5,
                "initial": None,
                "initial_remembered": None,
                "fills": [
                    {
                        "of": "ID labels", "capacity": 2, "empty": 1, "partly_filled": 0, "full": 1,
                        "rows_by_images": {"0": 1, "2": 1},
                    },
                    {
                        "of": "negative labels", "capacity": 2, "empty": 2, "partly_filled": 1, "full": 1,
                        "rows_by_images": {"0": 2, "1": 1, "2": 1},
                    },
                ],
                "learned_most": [
                    {
                        "row": 0, "label": "cat", "role": "id", "images": 2, "mean_priority": 0.3125,
                        "examples": [{"key": "a1", "priority": 0.25}, {"key": "b0", "priority": 0.375}],
                    }
                ],
                "inversions": None,
                "traffic": TRAFFIC,
                "rejected": 0.25,
            }
        },
        "notes": [],
    }  # fmt: skip


def test_the_snapshot_is_read_in_whatever_order_its_rows_are(out: Path) -> None:
    before = printed(out)
    stored = pq.read_table(io.BytesIO((out / "memory/snapshot-3.parquet").read_bytes()))
    shuffled = stored.take([4, 1, 3, 0, 2])
    pq.write_table(shuffled, out / "memory/snapshot-3.parquet")
    assert printed(out) == before


def test_of_a_label_five_images_are_shown(tmp_path: Path) -> None:
    images = [(1, number / 8, f"image {number}") for number in range(7)]
    files = begun(tmp_path, param={})
    remember(files, {FIRST: {"adaneg": images}}, {"adaneg": images})
    found = said_of(tmp_path / "out")["methods"]["adaneg"]["learned_most"]
    assert [(row["row"], row["images"], row["mean_priority"]) for row in found] == [(1, 7, 0.375)]
    assert [one["key"] for one in found[0]["examples"]] == [f"image {number}" for number in range(5)]


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (10, ["of 1", "of 2–3", "of 4–7", "of 8", "full, of 9"]),
        (9, ["of 1", "of 2–3", "of 4–7", "full, of 8"]),
        (2, ["full, of 1"]),
    ],
)
def test_rows_are_counted_in_bins_that_double(tmp_path: Path, length: int, told: list[str]) -> None:
    files = begun(tmp_path, param={"adaneg.memory_length": length})
    remember(files, {FIRST: {"adaneg": [(1, 0.5, "a")]}}, {"adaneg": [(1, 0.5, "a")]})
    lines = printed(tmp_path / "out").partition("partly filled")[2].partition("images")[0].splitlines()[1:-1]
    assert [re.split(" {2,}", line.strip())[0] for line in lines] == told


INTERNEG: Of = {
    "interneg": [(0, 0.0625, "odd"), (0, 0.125, "odder"), (0, 0.25, "so so"), (1, 0.5, "tom"), (2, 0.75, "rex")]
}


def test_of_interneg_row_0_is_to_be_inverted_and_each_other_row_an_id_labels(tmp_path: Path) -> None:
    files = begun(tmp_path, method=("interneg",), param={"interneg.max_inversions": 3})
    remember(files, {FIRST: INTERNEG}, INTERNEG)
    files.put(EXTRA_NEGATIVES, table({"interneg": [(0, -0.5, "odder"), (0, -0.25, "odd")]}))
    end(files, {"images": 5, "memory": {"images": 5, "actors": 2, "actors_cpu_s": 1.5, "interneg": TRAFFIC}})
    told = printed(tmp_path / "out", "--top", "2")
    assert "\n  extra negatives                            2\n" in told
    assert (
        told[told.index("interneg: rows") :]
        == """\
interneg: rows by how many images they hold
                 ID labels
  rows                   2
  empty                  0
  partly filled          2
    of 1                 2
    of 2–3               0
    of 4–7               0
    of 8–15              0
  full, of 16            0
  images                 2

interneg: labels that learned most: by number of images, then by lowest mean priority (entropy)
  label  role  row  images  mean priority  image  its priority
  cat    id      1       1       0.500000  tom        0.500000
  dog    id      2       1       0.750000  rex        0.750000

interneg: images to turn into words (3, at most 3), by lowest score
  image      score
  odd    0.0625000
  odder   0.125000
"""
    )


def test_a_scan_that_has_not_ended_shows_what_its_shards_have_come_to(tmp_path: Path) -> None:
    files = begun(tmp_path)
    offered = {FIRST: OFFERED[FIRST], SECOND: OFFERED[SECOND]}
    remember(files, offered, {"adaneg": [(0, 0.25, "a1"), (0, 0.5, "a0"), (4, 0.125, "a2")]}, of=[FIRST])
    said = said_of(tmp_path / "out")
    assert said["notes"] == [
        "The scan has not ended: this is what 2 of its 3 shards have come to, and there is no summary with records and "
        "traffic yet.",
        "1 shards' candidates are in no snapshot yet; they are merged here.",
    ]
    assert (said["shards"], said["planned_shards"], said["records"], said["last_run"]) == (2, 3, None, None)
    found = said["methods"]["adaneg"]
    assert (found["images"], found["candidates"], found["candidates_remembered"]) == (5, 6, 5)
    assert [one["key"] for one in found["learned_most"][0]["examples"]] == ["a1", "b0"]
    assert "traffic of the last run" not in printed(tmp_path / "out")
    assert "\n  shards remembered  2 of 3\n" in printed(tmp_path / "out")


def test_candidates_alone_are_a_memory_too(tmp_path: Path) -> None:
    remember(begun(tmp_path))
    found = said_of(tmp_path / "out")
    assert found["notes"][1] == "3 shards' candidates are in no snapshot yet; they are merged here."
    assert [(row["row"], row["images"]) for row in found["methods"]["adaneg"]["learned_most"]] == [
        (0, 2),
        (4, 2),
        (5, 1),
    ]


def carry(tmp_path: Path) -> MemoryFiles:
    """The memory files of a scan that began with the memory of another."""
    files = begun(tmp_path, memory=Memory(uri="s3://scans/before"))
    files.put(INITIAL, table({"adaneg": [(0, 0.25, "a1"), (1, 0.75, "old"), (4, 0.875, "older")]}))
    return files


def test_it_says_how_many_images_come_from_an_earlier_scan(tmp_path: Path) -> None:
    files = carry(tmp_path)
    remember(files, OFFERED, {"adaneg": [*REMEMBERED["adaneg"][:2], (1, 0.75, "old"), *REMEMBERED["adaneg"][2:]]})
    end(files)
    said = said_of(tmp_path / "out")
    assert said["initial_memory"] == "s3://scans/before"
    assert said["methods"]["adaneg"]["initial"] == 3
    assert said["methods"]["adaneg"]["initial_remembered"] == 2
    told = printed(tmp_path / "out")
    assert "\n  began with         the memory of s3://scans/before\n" in told
    assert "\n  of these still remembered                  2\n" in told


def test_a_scan_that_has_just_begun_holds_what_it_began_with(tmp_path: Path) -> None:
    carry(tmp_path)
    said = said_of(tmp_path / "out")
    assert said["shards"] == 0
    assert (said["methods"]["adaneg"]["images"], said["methods"]["adaneg"]["initial_remembered"]) == (3, 3)


@pytest.mark.parametrize(
    ("last_run", "told"),
    [
        ({"images": 0}, "The last run has found nothing left to do, so there is no traffic of it."),
        (
            {"images": 5, "memory": {"images": 0, "actors": 1, "actors_cpu_s": 0.5}},
            "The last run has offered nothing to the memory.",
        ),
    ],
)
def test_it_says_so_if_the_last_run_has_done_nothing(out: Path, last_run: dict[str, Any], told: str) -> None:
    (out / "summary.json").write_text(json.dumps({"records": 5, "last_run": last_run}))
    assert said_of(out)["notes"] == [told]
    assert f"\n{told}\n" in printed(out)
    assert "traffic of the last run\n" not in printed(out)


def other_bank(directory: Path) -> None:
    LabelBank(["a", "b"], ["noun"] * 2, 1, np.eye(2, 7, dtype=np.float32), np.full(2, np.nan), [None] * 2).save(
        directory
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (other_bank, "the label bank '{}' has changed since the scan was made."),
        (gone_bank, "the label bank '{}' is not a label bank: it has no labels.parquet; make one with"),
        (bad_bank, "the label bank '{}' is not a valid label bank: labels.parquet is not a readable Parquet file"),
    ],
)
def test_without_its_label_bank_a_memory_is_shown_by_rows(
    out: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(out.parent / "bank")
    said = said_of(out)
    expected = "Rows are known by number only, and empty ones not at all: " + reason.format(out.parent / "bank")
    assert said["notes"][0].startswith(expected)
    found = said["methods"]["adaneg"]
    assert found["fills"] == [
        {
            "of": "labels",
            "capacity": 2,
            "empty": None,
            "partly_filled": 1,
            "full": 2,
            "rows_by_images": {"1": 1, "2": 2},
        }
    ]
    assert [(row["row"], row["label"], row["role"]) for row in found["learned_most"]] == [
        (0, None, None),
        (4, None, None),
        (5, None, None),
    ]
    assert "\n  row  images  mean priority  image          its priority\n" in printed(out)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"method": ("mcm", "neglabel"), "param": {}}, "has no memory: none of its methods mcm, neglabel learns from"),
        (
            {"method": ("interneg",), "param": {"interneg.max_inversions": 0}},
            "has no memory: none of its methods interneg learns from the images",
        ),
        ({"order": "sequential"}, "has no memory: what adaneg learns in sequential order is not kept"),
        (
            {"memory": Memory(uri="s3://scans/before", freeze=True)},
            "has no memory of its own: it was scored against that of 's3://scans/before' (--freeze-memory) and has",
        ),
        ({}, "has no memory yet: none of its 3 shards is remembered"),
    ],
)
def test_a_scan_without_a_memory_says_why(tmp_path: Path, chosen: dict[str, Any], said: str) -> None:
    begun(tmp_path, **chosen)
    assert refusal(tmp_path / "out").startswith(f"SCAN '{tmp_path}/out' {said}")


@pytest.mark.parametrize("name", ["nowhere", "data", "file", "file/below"])
def test_what_is_no_scan_directory_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "file").write_text("no directory")
    assert refusal(tmp_path / name) == (
        f"SCAN '{tmp_path}/{name}' is not a scan directory: it has no scan.json or no plan.parquet"
    )


def flipped(content: bytes) -> bytes:
    """The file with one bit flipped."""
    return content[:60] + bytes([content[60] ^ 1]) + content[61:]


def with_rows(rows: pa.Array) -> Callable[[bytes], bytes]:
    """A change of a table of the memory that puts its images into these rows."""
    return rewritten(lambda table: table.set_column(1, "row", rows))


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("scan.json", cut, "scan.json: "),
        ("scan.json", lambda _: b"[]", "scan.json: "),
        (
            "scan.json",
            lambda content: content.replace(b'"adaneg"\n', b'"telepathy"\n'),
            "scan.json: --method 'telepathy'",
        ),
        ("plan.parquet", cut, "plan.parquet: "),
        ("summary.json", lambda _: b"{}", "summary.json: "),
        ("summary.json", lambda _: b'{"records": 5, "last_run": {"memory": 3}}', "summary.json: "),
        ("memory/snapshot-3.parquet", cut, "memory/snapshot-3.parquet: "),
        ("memory/snapshot-3.parquet", flipped, "memory/snapshot-3.parquet: "),
        ("memory/snapshot-3.parquet", rewritten(lambda table: table.replace_schema_metadata(None)), "memory: "),
        (
            "memory/snapshot-3.parquet",
            rewritten(lambda table: table.drop_columns(["key"])),
            "memory/snapshot-3.parquet: it has no column key",
        ),
        (
            "memory/snapshot-3.parquet",
            with_rows(pa.array([0, 0, 4, 4, None], pa.int64())),
            "memory/snapshot-3.parquet: it has images without a row, a priority or a key",
        ),
        (
            "memory/snapshot-3.parquet",
            with_rows(pa.array([0, 0, 4, 4, 6], pa.int64())),
            "memory: adaneg has images in row 6, and its last row is 5",
        ),
        (f"memory/candidates/part-{FIRST}.parquet", cut, f"memory/candidates/part-{FIRST}.parquet: "),
    ],
)
def test_a_damaged_file_is_named(out: Path, name: str, spoil: Callable[[bytes], bytes], said: str) -> None:
    (out / name).write_bytes(spoil((out / name).read_bytes()))
    assert refusal(out).startswith(f"SCAN '{out}' cannot be read: {said}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--top", "-1"], "--top -1 is below 0; it is how many labels to show of each method"),
        (["--format", "xml"], "--format 'xml' is unknown; the formats are text, markdown, json"),
        (["--format", "text", "--json"], "--format 'text' and --json contradict each other; give one of them"),
    ],
)
def test_a_mistaken_option_is_named(out: Path, arguments: list[str], said: str) -> None:
    assert refusal(out, *arguments) == said


def test_a_scan_can_be_anywhere(out: Path, storage: Storage) -> None:
    url = storage.upload(out, "elsewhere")
    found = show(Directory(url, storage.options)).methods["adaneg"]
    assert (found.images, found.candidates, found.candidates_remembered) == (5, 6, 5)
    assert [row.label for row in found.learned_most] == ["cat", "red|hot", "cloud"]


@pytest.mark.parametrize(
    ("arguments", "imported"),
    [
        (["--help"], "[]"),
        (["show", "nowhere"], "[]"),
        (["show", "OUT", "--format", "xml"], "[]"),
        (["show", "OUT"], "['pandas']"),  # by pyarrow, once it is asked for numbers
    ],
)
def test_memories_are_shown_without_torch_and_ray(out: Path, arguments: list[str], imported: str) -> None:
    program = (
        "import sys; from pipelines.commands.app import main; sys.argv = ['oodscan', 'memory', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'open_clip', 'pandas'} & set(sys.modules)), file=sys.stderr)"
    )
    given = [str(out) if argument == "OUT" else argument for argument in arguments]
    ended = subprocess.run([sys.executable, "-c", program, *given], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == imported
