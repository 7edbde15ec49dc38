"""Verdicts on a rescoring: equal to the plain functions, whether given from the start or added later, and resumed."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.methods import Consensus, MaxCos, NegLabel, Verdicts
from ood_core.scores import score_dataset
from pipelines.config.pools import ScorePool
from pipelines.config.rescore import ReadEmbeddings
from pipelines.errors import CallerError
from pipelines.scan_directory.record import ScanRecord
from pipelines.scans.add_verdicts import add_verdicts
from pipelines.scans.rescore import rescore
from pipelines.storage import Directory
from pipelines.verdicts.answers import read_answers
from pipelines.verify.verify import verify
from tests.pipelines.scans.in_kinds import ROWS, asked, bank, files_of, fill, good_images, good_rows, images

METHODS = ("neglabel", "max-cos", "verdicts", "consensus")
PARAMETERS = {"neglabel.groups": 3, "verdicts.base": "max-cos", "consensus.rounds": 2}
SAID = {3: 1.0, 60: 0.0, 61: 0.0, 150: 0.5, 201: 1.0, 299: 0.25}
"""What is said of some rows."""


def answers(place: Path, output: Path, said: dict[int, float], name: str = "said.csv") -> str:
    """A file of answers on the rows of a rescoring, which lie in shards of 60."""
    shards = ScanRecord.read(Directory(str(output))).shards
    lines = [f"{shards[row // 60]},{row % 60},image {row},{belongs},mara" for row, belongs in said.items()]
    (place / name).write_text("\n".join(["shard,index,key,belongs,by", *lines]))
    return str(place / name)


@pytest.fixture(scope="module")
def place(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank, embeddings, a rescoring without verdicts, and one to which some were added."""
    place = tmp_path_factory.mktemp("verdicts")
    fill(place)
    run(place, "plain")
    shutil.copytree(place / "plain", place / "added")
    add_verdicts(str(place / "added"), [answers(place, place / "added", SAID)], {})
    return place


def run(place: Path, output: str, **changes: Any) -> dict[str, Any]:
    return rescore(asked(place, output, **{"method": METHODS, "param": PARAMETERS, **changes}))


def test_scores_are_those_of_the_plain_functions(place: Path) -> None:
    keys, embeddings = good_images()
    methods = {
        "neglabel": NegLabel(3), "max-cos": MaxCos(), "verdicts": Verdicts("max-cos"), "consensus": Consensus(rounds=2)
    }  # fmt: skip
    said = {keys.index(f"image {row}"): belongs for row, belongs in SAID.items()}
    half = embeddings.half().float()  # as verdicts are kept
    expected = score_dataset(bank(), methods, embeddings, keys, verdicts=said).scores
    found = good_rows(place / "added")
    for name, scores in expected.items():
        np.testing.assert_allclose(found[f"score_{name.replace('-', '_')}"].to_numpy(), scores, atol=2e-2)
    assert half.shape == embeddings.shape
    cosines, moved = found["score_max_cos"].to_numpy(), found["verdict"].to_numpy()
    z = (cosines - cosines.mean()) / cosines.std()
    np.testing.assert_allclose(found["score_verdicts"].to_numpy(), z + 2 * moved, atol=1e-12)
    assert moved.min() < -0.2 < 0.2 < moved.max()
    assert set(found["verdict_by"].to_pylist()) <= {"mara", None}
    names = found.column_names
    assert names[names.index("anchor") :][:5] == [
        "anchor",
        "consensus_weight",
        "consensus_shift",
        "verdict",
        "verdict_by",
    ]


def test_verdicts_that_are_given_from_the_start_or_added_later_make_the_same_bytes(place: Path) -> None:
    run(place, "given", verdicts=(str(place / "added"),))
    assert files_of(place / "given") == files_of(place / "added")
    assert verify(str(place / "given"), {}, tables=True).problems == []
    assert verify(str(place / "added"), {}, tables=True).problems == []
    before = files_of(place / "given")
    run(place, "given")
    assert files_of(place / "given") == before, "what is kept with the scan counts without being named again"
    plain = files_of(place / "plain")
    assert {name for name, content in before.items() if plain.get(name) == content} >= {"consensus/anchors.parquet"}


def test_workers_and_shards_do_not_change_a_bit(place: Path) -> None:
    changes = {"read": ReadEmbeddings(rows_per_shard=37), "score": ScorePool(workers=2, cpus=0.5)}
    run(place, "split", verdicts=(str(place / "added"),), **changes)
    found, expected = (pq.read_table(place / name / "scores") for name in ("split", "added"))
    for name in ("score_verdicts", "score_consensus", "verdict", "verdict_by", "is_ood_consensus"):
        assert found[name].equals(expected[name]), name


@pytest.mark.parametrize("step", ["sum_up", "score"])
def test_a_run_that_is_cut_short_is_made_good_by_the_next(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from pipelines.consensus.revise import Revision

    output = Path(shutil.copytree(place / "plain", tmp_path / "scan"))
    said = answers(place, output, SAID)
    done = getattr(Revision, step)

    def cut_short(*arguments: Any) -> None:
        done(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Revision, step, cut_short)
    with pytest.raises(KeyboardInterrupt):
        add_verdicts(str(output), [said], {})
    assert not (output / "_SUCCESS").exists() or step == "sum_up"
    monkeypatch.undo()
    add_verdicts(str(output), [], {})
    assert files_of(output) == files_of(place / "added")
    assert (output / "_SUCCESS").exists()


def test_verdicts_from_another_night_count_tonight(place: Path) -> None:
    shuffled = images().take(np.random.default_rng(2).permutation(ROWS))
    (place / "tonight").mkdir()
    pq.write_table(shuffled, place / "tonight/all.parquet")
    run(place, "since", embeddings=(str(place / "tonight"),), since=str(place / "added"))
    found, expected = (pq.read_table(place / name / "scores").sort_by("key") for name in ("since", "added"))
    assert found["score_consensus"].equals(expected["score_consensus"])
    assert found["verdict"].equals(expected["verdict"])


def test_verdicts_without_consensus_move_their_base(place: Path) -> None:
    run(place, "alone", method=("max-cos", "verdicts"), param={}, verdicts=(str(place / "added"),))
    found, expected = good_rows(place / "alone"), good_rows(place / "added")
    assert found["score_verdicts"].equals(expected["score_verdicts"])
    assert verify(str(place / "alone"), {}, tables=True).problems == []


def test_without_verdicts_the_method_standardises_its_base(place: Path) -> None:
    found = good_rows(place / "plain")
    cosines = found["score_max_cos"].to_numpy()
    np.testing.assert_allclose(
        found["score_verdicts"].to_numpy(), (cosines - cosines.mean()) / cosines.std(), atol=1e-9
    )
    assert "verdict" not in found.column_names


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("shard,index,verdict\nnowhere,3,yes", "line 2: the scan has no image 3 of shard 'nowhere'"),
        ("shard,index,verdict\nSHARD,600,yes", "line 2: the scan has no image 600 of shard"),
        ("shard,index,key,verdict\nSHARD,3,other,yes", "line 2: image 3 of shard 'SHARD' is 'image 3', not 'other'"),
        ("shard,index,verdict\nSHARD,7,yes", "line 2: image 'image 7' has no scores: missing-embedding"),
        ("shard,index,verdict\nSHARD,3,maybe", "line 2: verdict is 'maybe'; it is yes, no or unsure"),
        ("shard,index,belongs\nSHARD,3,1.5", "line 2: belongs is 1.5, not from 0 to 1"),
        ("shard,index,belongs\nSHARD,3,nan", "line 2: belongs is nan, not from 0 to 1"),
        ("shard,index\nSHARD,3", "line 2: there is neither verdict"),
        ("index,verdict\n3,yes", "line 2: shard is missing"),
        ("shard,index,verdict\nSHARD,three,yes", "line 2: index is 'three', not a number"),
        ("shard,index,verdict,at\nSHARD,3,yes,noon", "line 2: at is 'noon', not a time"),
    ],
)
def test_an_answer_that_is_none_is_named_by_its_line(place: Path, tmp_path: Path, lines: str, said: str) -> None:
    shard = ScanRecord.read(Directory(str(place / "plain"))).shards[0]
    (tmp_path / "a.csv").write_text(lines.replace("SHARD", shard))
    before = files_of(place / "plain")
    with pytest.raises(CallerError) as error:
        add_verdicts(str(place / "plain"), [str(tmp_path / "a.csv")], {})
    assert said.replace("SHARD", shard) in str(error.value)
    assert files_of(place / "plain") == before


def test_verdicts_on_embeddings_of_another_model_are_refused(place: Path, tmp_path: Path) -> None:
    table = pa.table({"belongs": [1.0], "embedding": pa.array([[1.0] + [0.0] * 7], pa.list_(pa.float32(), 8))})
    pq.write_table(table, tmp_path / "other.parquet")
    with pytest.raises(CallerError, match="not every verdict has an embedding of 16 numbers"):
        run(place, "refused", verdicts=(str(tmp_path / "other.parquet"),))
    with pytest.raises(CallerError, match="no method takes it; ask for --method verdicts or consensus"):
        run(place, "refused", method=("max-cos",), param={}, verdicts=(str(place / "added"),))
    with pytest.raises(CallerError, match="keeps no verdicts"):
        run(place, "refused", verdicts=(str(place / "plain"),))


def test_what_is_said_twice_counts_once_and_of_two_people_twice(place: Path, tmp_path: Path) -> None:
    output = Path(shutil.copytree(place / "added", tmp_path / "scan"))
    found = add_verdicts(str(output), [answers(tmp_path, output, {3: 1.0, 60: 0.0})], {})
    assert found.new == 0
    assert files_of(output) == files_of(place / "added")
    text = Path(answers(tmp_path, output, {3: 0.0})).read_text().replace("mara", "joe")
    (tmp_path / "joe.csv").write_text(text)
    lines: list[str] = []
    found = add_verdicts(str(output), [str(tmp_path / "joe.csv")], {}, say=lines.append)
    assert found.new == 1
    (line,) = (line for line in lines if line.startswith("disagreement: "))
    assert line.startswith("disagreement: 'image 3' (image 3 of shard ")
    assert {"1 by mara", "0 by joe"} <= set(line.rpartition(": ")[2].split(", "))
    assert len(read_answers(str(tmp_path / "joe.csv"), {})) == 1
    assert files_of(output) != files_of(place / "added")


def test_who_says_something_else_of_an_image_is_believed_the_last_time(place: Path, tmp_path: Path) -> None:
    output = Path(shutil.copytree(place / "added", tmp_path / "scan"))
    found = add_verdicts(str(output), [answers(tmp_path, output, {3: 0.0})], {})
    assert found.new == 0
    said = {row["key"]: row["belongs"] for row in found.verdicts.table.select(["key", "belongs"]).to_pylist()}
    assert said["image 3"] == 0
    assert len(said) == len(SAID)
