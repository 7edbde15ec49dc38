"""Rescorings by consensus: equal to the plain functions however they are cut, resumed, checked, and refused."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipelines.consensus.step
from ood_core.consensus.dataset import consensus
from ood_core.consensus.log_odds import log_odds
from ood_core.methods import AdaNeg, Consensus, NegLabel
from ood_core.scores import score_dataset
from pipelines.config.pools import ScorePool
from pipelines.config.rescore import ReadEmbeddings
from pipelines.consensus.rounds import Rounds
from pipelines.errors import CallerError
from pipelines.evaluation.evaluate import evaluate
from pipelines.scan_directory.layout import table_from
from pipelines.scans.rescore import rescore
from pipelines.storage import Directory
from pipelines.verify.verify import verify
from tests.conftest import Storage
from tests.pipelines.in_plan_order import parts
from tests.pipelines.scans.in_kinds import (
    BAD,
    ROWS,
    asked,
    bank,
    files_of,
    fill,
    good_images,
    good_rows,
    images,
)

OURS = (
    "score_neglabel",
    "score_consensus",
    "is_ood_neglabel",
    "is_ood_consensus",
    "anchor",
    "consensus_weight",
    "consensus_shift",
)


@pytest.fixture(scope="module")
def place(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank, embeddings, and a rescoring of them that nothing has disturbed."""
    place = tmp_path_factory.mktemp("consensus")
    fill(place)
    run(place, "whole")
    return place


def run(place: Path, output: str, **changes: Any) -> dict[str, Any]:
    return rescore(asked(place, output, **changes))


def by_key(output: Path) -> pa.Table:
    return pq.read_table(output / "scores").sort_by("key")


def test_a_rescoring_finds_what_the_plain_functions_find(place: Path) -> None:
    keys, embeddings = good_images()
    methods = {"neglabel": NegLabel(3), "consensus": Consensus(rounds=3)}
    expected = score_dataset(bank(), methods, embeddings, keys).scores
    found = good_rows(place / "whole")
    assert found["key"].to_pylist() == keys
    for name, scores in expected.items():
        np.testing.assert_array_equal(found[f"score_{name}"].to_numpy(), scores)
    whole = consensus(embeddings, keys, log_odds(expected["neglabel"], NegLabel(3)), Consensus(rounds=3))
    np.testing.assert_array_equal(found["anchor"].to_numpy(), whole.anchor)
    np.testing.assert_array_equal(found["consensus_weight"].to_numpy(), whole.weight)
    np.testing.assert_array_equal(found["consensus_shift"].to_numpy(), whole.shift)
    assert whole.agreement > 0.3
    assert np.abs(whole.shift).max() > 0.1


def test_consensus_over_sequential_order_is_that_of_the_plain_functions(place: Path) -> None:
    param = {"consensus.base": "adaneg", "adaneg.batch_size": 50, "adaneg.groups": 3}
    run(place, "in order", method=("adaneg", "consensus"), order="sequential", param=param)
    assert verify(str(place / "in order"), {}, tables=True).problems == []
    keys, embeddings = good_images()
    methods = {"adaneg": AdaNeg(order="sequential", batch_size=50, groups=3), "consensus": Consensus(base="adaneg")}
    expected = score_dataset(bank(), methods, embeddings, keys).scores
    found = good_rows(place / "in order")
    for name, scores in expected.items():
        np.testing.assert_array_equal(found[f"score_{name}"].to_numpy(), scores)


def test_bad_rows_have_no_consensus_and_foreign_columns_keep_their_values(place: Path) -> None:
    found = pq.read_table(place / "whole/scores")
    names = found.column_names
    assert names[names.index("negative_label") + 1 :] == [*OURS, "input_anchor", "input_consensus_weight"]
    for name in OURS:
        assert np.flatnonzero(found[name].is_null().to_numpy()).tolist() == list(BAD)
    assert found["input_anchor"].to_pylist() == found["key"].to_pylist()


def test_summary_says_how_far_the_images_agree(place: Path) -> None:
    summary = json.loads((place / "whole/summary.json").read_text())
    said = summary["learned"]["consensus"]
    assert said["base"] == "neglabel"
    assert said["images"] == ROWS - len(BAD)
    assert said["anchors"] == len(pq.read_table(place / "whole/consensus/anchors.parquet")) == 19
    assert 0.3 < said["agreement"] < 1
    weights = pq.read_table(place / "whole/scores")["consensus_weight"].drop_null().to_numpy()
    assert summary["quantiles"]["consensus_weight"]["0.5"] == pytest.approx(
        np.quantile(weights, 0.5, method="lower"), rel=2e-4
    )
    assert summary["below_zero"] == {}
    assert set(summary["last_run"]["consensus"]) == {"anchors_s", "votes_s", "rounds_s", "scores_s"}
    assert sorted(path.name for path in (place / "whole").iterdir()) == [
        "_SUCCESS", "consensus", "gallery.parquet", "manifest", "plan.parquet", "scan.json", "scores", "summary.json",
        "thresholds.json",
    ]  # fmt: skip
    gallery = pq.read_table(place / "whole" / "gallery.parquet")
    assert len(gallery) == gallery["thumbnail"].null_count > 0
    assert verify(str(place / "whole"), {}, tables=True).problems == []


def test_order_files_shards_and_workers_do_not_change_a_bit(place: Path) -> None:
    shuffled = images().take(np.random.default_rng(2).permutation(ROWS))
    (place / "shuffled").mkdir()
    for number, (start, end) in enumerate([(0, 1), (1, 120), (120, ROWS)]):
        pq.write_table(shuffled.slice(start, end - start), place / f"shuffled/{number}.parquet")
    read, score = ReadEmbeddings(rows_per_shard=37), ScorePool(workers=2, cpus=0.5)
    run(place, "split", embeddings=(str(place / "shuffled"),), read=read, score=score)
    assert verify(str(place / "split"), {}, tables=True).problems == []
    found, expected = by_key(place / "split"), by_key(place / "whole")
    for name in ("key", *OURS):
        assert found[name].equals(expected[name]), name


@pytest.mark.parametrize(
    "lost",
    [
        ("scores/part-*-00000060.*",),
        ("scores/part-*-00000060.*", "consensus/votes/part-*-00000120.*", "consensus/sums-5.parquet"),
        ("scores/*", "consensus/anchors.parquet"),
    ],
    ids=["scores", "votes and sums", "anchors"],
)
def test_what_is_lost_is_made_again_with_the_same_bytes(place: Path, tmp_path: Path, lost: Sequence[str]) -> None:
    output = Path(shutil.copytree(place / "whole", tmp_path / "whole"))
    for pattern in lost:
        gone = list(output.glob(pattern))
        assert gone
        for path in gone:
            path.unlink()
    rescore(asked(place, str(output)))
    assert files_of(output) == files_of(place / "whole")


def test_a_run_cut_short_after_a_round_goes_on_from_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = Rounds.known

    def cut_short(step: Rounds) -> Any:
        monkeypatch.setattr(pipelines.consensus.step.ConsensusFiles, "put_sums", third)
        return done(step)

    put = pipelines.consensus.step.ConsensusFiles.put_sums

    def third(files: Any, step: int, sums: Any, chain: Any) -> None:
        if step == 3:
            raise KeyboardInterrupt
        put(files, step, sums, chain)

    monkeypatch.setattr(Rounds, "known", cut_short)
    with pytest.raises(KeyboardInterrupt):
        run(place, "cut")
    monkeypatch.undo()
    assert sorted(path.name for path in (place / "cut/consensus").glob("sums-*")) == [
        f"sums-{step}.parquet" for step in range(3)
    ]
    assert not list((place / "cut").glob("scores/*"))

    def never(*_: Any) -> None:
        raise AssertionError("this was done already")

    monkeypatch.setattr(pipelines.consensus.step, "Vote", never)
    monkeypatch.setattr(pipelines.consensus.step, "sample", never)
    run(place, "cut")
    assert files_of(place / "cut") == files_of(place / "whole")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": ("mcm", "consensus"), "param": {}}, "--param consensus.base=neglabel: no --method 'neglabel'"),
        (
            {"param": {"consensus.base": "consensus"}},
            "consensus.base=consensus: base must be a method that scores images by themselves",
        ),
        (
            {"param": {"consensus.base": "nonsense"}},
            "base must be a method that scores images by themselves, not 'nonsense'",
        ),
        ({"param": {"consensus.max_anchors": 8}}, "consensus.max_anchors=8: max_anchors must be at least 16, not 8"),
        ({"param": {"consensus.reach": 0}}, "consensus.reach=0: reach must be above 0, not 0"),
        ({"order": "streaming"}, "--order streaming: none of the methods neglabel, consensus learns"),
    ],
)
def test_mistakes_are_named(place: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CallerError, match=said):
        rescore(asked(place, "mistake", **changes))


def test_too_few_images_are_named_before_and_after_they_are_read(place: Path) -> None:
    for rows, folder in ((15, "few"), (16, "fewer good")):
        (place / folder).mkdir()
        pq.write_table(images(rows), place / folder / "some.parquet")
    with pytest.raises(CallerError, match="needs 16 images at least, .* of the input's 15 can be scored"):
        rescore(asked(place, "mistake", embeddings=(str(place / "few"),)))
    with pytest.raises(CallerError, match="needs 16 images at least, .* of the input's 15 can be scored"):
        run(place, "mistake", embeddings=(str(place / "fewer good"),), max_bad_fraction=0.5)


def test_other_parameters_are_another_scan(place: Path) -> None:
    with pytest.raises(CallerError, match=r"consensus.caution was 0.25 and is now 0"):
        rescore(asked(place, "whole", param={**asked(place, "").param, "consensus.caution": 0.0}))


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(path)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)


def with_column(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[pa.Table], pa.Table]:
    def changed(table: pa.Table) -> pa.Table:
        column = table[name]
        values = pa.array(change(column.to_numpy().copy()), column.type, from_pandas=True)
        return table.set_column(table.column_names.index(name), name, values)

    return changed


def nudged(values: np.ndarray) -> np.ndarray:
    values[3] = np.nextafter(values[3], 9)
    return values


def one_more(values: np.ndarray) -> np.ndarray:
    values[3] += 1
    return values


PART = "{second}"


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        (f"consensus/votes/{PART}", None, f"consensus/votes/{PART} is missing"),
        ("consensus/sums-2.parquet", None, "consensus/sums-2.parquet is missing"),
        ("consensus/anchors.parquet", None, "consensus/anchors.parquet is missing"),
        (
            "consensus/sums-4.parquet",
            with_column("value_0", one_more),
            "consensus/sums-4.parquet is not what the votes come to",
        ),
        (
            f"scores/{PART}",
            with_column("score_consensus", nudged),
            f"scores/{PART}: score_consensus is not what the votes come to",
        ),
        (
            f"consensus/votes/{PART}",
            with_column("log_odds", nudged),
            f"consensus/votes/{PART} is not of the scores by neglabel",
        ),
        (
            f"consensus/votes/{PART}",
            lambda table: table.slice(1),
            f"consensus/votes/{PART} has not the rows of its score table",
        ),
        (
            f"consensus/votes/{PART}",
            lambda table: table.replace_schema_metadata({"oodscan.fingerprint": "another"}),
            f"consensus/votes/{PART} carries the fingerprint of another scan",
        ),
    ],
)
def test_verify_finds_what_is_not_so(
    place: Path, tmp_path: Path, name: str, change: Callable[[pa.Table], pa.Table] | None, problem: str
) -> None:
    output = Path(shutil.copytree(place / "whole", tmp_path / "whole"))
    name, problem = (text.format(second=parts(output)[1]) for text in (name, problem))
    if change is None:
        (output / name).unlink()
    elif "another scan" in problem:
        pq.write_table(change(pq.read_table(output / name)), output / name)
    else:
        rewritten(output / name, change)
    assert problem in verify(str(output), {}, tables=True).problems


def test_consensus_is_evaluated_within_one_scan_only(place: Path) -> None:
    one, other = (str(place / f"whole/scores/part-*-{start:08d}.parquet") for start in (0, 60))
    assert "consensus" in evaluate([one], {"other": [other]}, {}).results
    foreign = Path(shutil.copytree(place / "whole", place / "foreign"))
    for path in (foreign / "scores").iterdir():
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"oodscan.fingerprint": "another"}), path)
    found = evaluate([one], {"other": [str(foreign)]}, {})
    assert list(found.results) == ["neglabel"]
    assert found.incomparable == ["consensus"]
    assert found.to_json()["incomparable"] == ["consensus"]
    with pytest.raises(CallerError, match="--method consensus: its scores are relative to their scan"):
        evaluate([one], {"other": [str(foreign)]}, {}, ["consensus"])


@pytest.mark.parametrize("storage", ["moto"], indirect=True)
def test_a_rescoring_in_s3_goes_on_where_something_is_lost(place: Path, storage: Storage) -> None:
    chosen = asked(place, "").model_copy(update={"output": f"{storage.root}/scan"})
    rescore(chosen, storage.options)
    output = Directory(chosen.output, storage.options)
    output.remove("consensus/anchors.parquet")
    output.remove(f"scores/{parts(place / 'whole')[1]}")
    rescore(chosen, storage.options)
    assert verify(chosen.output, storage.options, tables=True).problems == []
    assert output.names("encoded") == []
    name = "consensus/anchors.parquet"
    assert table_from(output.read(name)).equals(table_from((place / "whole" / name).read_bytes()))
