"""Whom to ask: the images that the plain functions choose, however the scan is cut; and scans that cannot be asked."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.consensus.dataset import Neighbourhood, questions
from ood_core.consensus.log_odds import log_odds
from ood_core.methods import Consensus, NegLabel
from pipelines.config.pools import ScorePool
from pipelines.config.rescore import ReadEmbeddings
from pipelines.errors import CallerError
from pipelines.runtime.cluster import Cluster, cluster
from pipelines.scan_directory.record import ScanRecord
from pipelines.scans.add_verdicts import add_verdicts
from pipelines.scans.rescore import rescore
from pipelines.storage import Directory
from pipelines.verdicts.ask import Question, choose
from pipelines.verdicts.places import ScanImages
from pipelines.verdicts.questions import SCHEMA, ask, nearest_labels
from tests.pipelines.scans.in_kinds import BAD, IDS, ROWS, asked, bank, fill, good_images, good_rows

SMALL = Consensus(rounds=1, images_per_anchor=3)
"""So many anchors that most have few images, and some none that another has not."""
PARAMETERS = {"neglabel.groups": 3, "consensus.rounds": 1, "consensus.images_per_anchor": 3}
SAID = {3: 1.0, 60: 0.0, 61: 0.0, 150: 0.5, 201: 1.0, 299: 0.25}
ONE, TWO = ScorePool(workers=1, cpus=1), ScorePool(workers=2, cpus=0.5)


@pytest.fixture(scope="module")
def found(ray_session: None) -> Cluster:
    with cluster() as joined:
        return joined


@pytest.fixture(scope="module")
def place(found: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank, embeddings, a rescoring without verdicts, a copy to which some were added, and one in other shards."""
    place = tmp_path_factory.mktemp("ask")
    fill(place)
    rescore(asked(place, "plain", param=PARAMETERS))
    rescore(asked(place, "split", param=PARAMETERS, read=ReadEmbeddings(rows_per_shard=37)))
    shutil.copytree(place / "plain", place / "told")
    shards = record_of(place / "told").shards
    lines = [f"{shards[row // 60]},{row % 60},{belongs},mara" for row, belongs in SAID.items()]
    (place / "said.csv").write_text("\n".join(["shard,index,belongs,by", *lines]))
    add_verdicts(str(place / "told"), [str(place / "said.csv")], {})
    return place


def record_of(output: Path) -> ScanRecord:
    return ScanRecord.read(Directory(str(output)))


def rows_of(output: Path, chosen: Sequence[Question], size: int = 60) -> list[int]:
    """The rows of the embeddings that are asked about."""
    shards = record_of(output).shards
    return [shards.index(shard) * size + index for shard, index in (question.place for question in chosen)]


def expected(place: Path, count: int, said: dict[int, float]) -> list[int]:
    """The same by the plain functions."""
    keys, embeddings = good_images()
    rows = [row for row in range(ROWS) if row not in BAD]
    among, images = Neighbourhood.of(embeddings, keys, SMALL), [rows.index(row) for row in said]
    if said:
        among = among.told(np.array(images), np.array(list(said.values())))
    scores = good_rows(place / "plain")["score_neglabel"].to_numpy()
    chosen = questions(among, log_odds(scores, NegLabel(3)), SMALL, count, set(images))
    return [rows[image] for image in chosen]


@pytest.mark.parametrize("count", [1, 30, 1000])
def test_the_images_are_those_of_the_plain_functions(place: Path, count: int) -> None:
    chosen = choose(record_of(place / "plain"), count, ONE)
    assert rows_of(place / "plain", chosen) == expected(place, count, {})
    assert len(chosen) == min(count, ROWS - len(BAD))
    assert len({question.place for question in chosen}) == len(chosen)


@pytest.mark.parametrize("count", [1, 30, 1000])
def test_who_was_asked_is_not_asked_again_and_their_surroundings_come_last(place: Path, count: int) -> None:
    chosen = choose(record_of(place / "told"), count, ONE)
    rows = rows_of(place / "told", chosen)
    assert rows == expected(place, count, SAID)
    assert not set(rows) & set(SAID)
    nearest = dict(enumerate(pq.read_table(place / "told/scores")["anchor"].to_pylist()))
    asked_at = {nearest[row] for row in SAID}
    anchors = list(dict.fromkeys(question.anchor for question in chosen))
    assert not asked_at & set(anchors[: len(anchors) - len(asked_at)])


def test_neither_shards_nor_workers_change_who_is_asked(place: Path) -> None:
    plain = choose(record_of(place / "plain"), 30, ONE)
    split = choose(record_of(place / "split"), 30, TWO)
    assert rows_of(place / "split", split, 37) == rows_of(place / "plain", plain)
    for one, other in zip(plain, split, strict=True):
        assert (one.anchor, one.stands_for, one.belongs, one.worth) == (
            other.anchor, other.stands_for, other.belongs, other.worth,
        )  # fmt: skip
    assert choose(record_of(place / "split"), 30, ONE) == split


def test_those_that_are_worth_most_come_first(place: Path) -> None:
    chosen = choose(record_of(place / "plain"), 30, ONE)
    assert [question.worth for question in chosen] == sorted((question.worth for question in chosen), reverse=True)
    assert all(question.worth == question.stands_for * question.belongs * (1 - question.belongs) for question in chosen)
    assert choose(record_of(place / "plain"), 0, ONE) == []


def test_verdicts_on_other_images_of_the_same_place_do_not_count_as_asked(place: Path, tmp_path: Path) -> None:
    output = Path(shutil.copytree(place / "told", tmp_path / "scan"))
    path = output / "consensus/verdict-votes.parquet"
    votes = pq.read_table(path)
    others = votes.set_column(0, "key", pa.array([f"of last night {row}" for row in range(len(votes))]))
    pq.write_table(others.set_column(1, "shard", pa.array([None, "gone"] * 3, pa.string())), path)
    rows = rows_of(output, choose(record_of(output), 1000, ONE))
    assert set(SAID) - set(BAD) <= set(rows)


def test_the_table_has_a_row_for_each_with_its_nearest_labels(place: Path, found: Cluster) -> None:
    said: list[str] = []
    table = ask(record_of(place / "told"), 1000, found, said.append)
    assert table.schema.equals(SCHEMA)
    assert table["number"].to_pylist() == list(range(1, ROWS - len(BAD) - len(SAID) + 1))
    assert said == []
    keys, embeddings = good_images()
    names = bank().texts[:IDS]
    for row in table.to_pylist()[:5]:
        cosines = bank().embeddings[:IDS] @ embeddings[keys.index(row["key"])].numpy()
        assert row["nearest_labels"] == [names[label] for label in np.argsort(-cosines, kind="stable")]
        assert row["picture"] is None
    rows = {row["key"]: row for row in good_rows(place / "told").to_pylist()}
    for row in table.to_pylist():
        assert row["score"] == rows[row["key"]]["score_consensus"]
        assert row["negative_label"] == rows[row["key"]]["negative_label"]


def test_nobody_is_asked_if_all_were(place: Path, found: Cluster, tmp_path: Path) -> None:
    output = Path(shutil.copytree(place / "told", tmp_path / "scan"))
    path = output / "consensus/verdict-votes.parquet"
    votes, rows = pq.read_table(path), good_rows(output)
    everybody = votes.take(pa.array([0] * len(rows)))
    for name in ("key", "shard", "index"):
        everybody = everybody.set_column(votes.column_names.index(name), votes.schema.field(name), rows[name])
    pq.write_table(everybody, path)
    assert len(ask(record_of(output), 5, found, print)) == 0


def test_without_the_label_bank_there_are_no_labels(place: Path, found: Cluster, tmp_path: Path) -> None:
    output = Path(shutil.copytree(place / "plain", tmp_path / "scan"))
    edit(output, labels=str(tmp_path / "gone"))
    with pytest.raises(CallerError, match="the label bank '.*gone' is not a label bank: ") as error:
        ask(record_of(output), 2, found, print)
    assert "\n" not in str(error.value)


def test_without_the_embeddings_the_nearest_label_is_what_the_scan_says(
    place: Path, found: Cluster, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(place / "plain", tmp_path / "scan"))
    images = ScanImages(record_of(output))
    shard = next(iter(images.shards))
    images.shards[shard] = replace(images.shards[shard], urls=(str(tmp_path / "gone.parquet"),))
    said = list[str]()
    labels = nearest_labels(images, [(shard, 0)], [{"id_label": "cat"}], 3, found, said.append)
    assert labels == [["cat"]]
    assert nearest_labels(images, [(shard, 0)], [{"id_label": None}], 3, found, said.append) == [[]]
    assert "of each image only the nearest label is known" in said[0] and "\n" not in said[0]


def edit(output: Path, **config: Any) -> None:
    recorded = json.loads((output / "scan.json").read_bytes())
    recorded["config"] |= config
    (output / "scan.json").write_text(json.dumps(recorded))


def first(output: Path, pattern: str) -> Path:
    return sorted(output.glob(pattern))[0]


UNASKABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "without consensus": (
        lambda output: edit(output, method=["neglabel"], param={"neglabel.groups": 3}),
        "was made without consensus, whose anchors the questions go by: scan with --method consensus",
    ),
    "without anchors": (lambda output: (output / "consensus/anchors.parquet").unlink(), "has not ended: its consensus"),
    "without sums": (lambda output: (output / "consensus/sums-2.parquet").unlink(), "has not ended: its consensus"),
    "with damaged sums": (
        lambda output: (output / "consensus/sums-1.parquet").write_bytes(b"x"),
        "cannot be read: consensus: ",
    ),
    "with sums of other columns": (
        lambda output: pq.write_table(pa.table({"a": [1]}), output / "consensus/sums-1.parquet"),
        "cannot be read: consensus: ",
    ),
    "with damaged anchors": (
        lambda output: (output / "consensus/anchors.parquet").write_bytes(b""),
        "cannot be read: consensus: ",
    ),
    "with damaged verdicts": (
        lambda output: (output / "consensus/verdicts.parquet").write_bytes(b"x"),
        "cannot be read: consensus: ",
    ),
    "with damaged votes of verdicts": (
        lambda output: (output / "consensus/verdict-votes.parquet").write_bytes(b"x"),
        "cannot be read: consensus/verdict-votes.parquet: ",
    ),
    "with votes of verdicts on nothing": (
        lambda output: change(output / "consensus/verdict-votes.parquet", "anchors", pa.nulls(6)),
        "cannot be read: consensus/verdict-votes.parquet: ",
    ),
    "without votes": (lambda output: first(output, "consensus/votes/*").unlink(), "has no consensus/votes/part-"),
    "with damaged votes": (
        lambda output: first(output, "consensus/votes/*").write_bytes(b"PAR1"),
        "cannot be read: consensus/votes",
    ),
    "without a score table": (lambda output: first(output, "scores/*").unlink(), "has no scores/part-"),
    "with a damaged score table": (
        lambda output: first(output, "scores/*").write_bytes(b"x"),
        "cannot be read: scores/part-",
    ),
    "without a plan": (lambda output: (output / "plan.parquet").unlink(), "is not a scan directory: it has no"),
}


def change(path: Path, name: str, values: pa.Array) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(name), name, values), path)


@pytest.mark.parametrize("name", UNASKABLE)
def test_a_scan_of_which_nothing_can_be_asked_is_one_line(
    place: Path, found: Cluster, tmp_path: Path, name: str
) -> None:
    damage, expected = UNASKABLE[name]
    output = Path(shutil.copytree(place / "told", tmp_path / "scan"))
    damage(output)
    with pytest.raises(CallerError) as error:
        ask(record_of(output), 1000, found, print)
    assert expected in str(error.value)
    assert str(error.value).startswith(f"SCAN {str(output)!r}")
    assert "\n" not in str(error.value)
