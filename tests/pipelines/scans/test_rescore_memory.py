"""Memories of rescorings: split over actors, in streaming order, carried over, frozen."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.labels import BankInfo, LabelBank
from ood_core.memory import MemoryBank
from pipelines.config.memory import Memory
from pipelines.config.pools import ScorePool
from pipelines.config.rescore import ReadEmbeddings, Rescore
from pipelines.errors import CallerError
from pipelines.memory.files import candidates_of, memory_table
from pipelines.scans.rescore import rescore
from pipelines.verify.verify import verify

ROWS, DIM, LABELS, IDS = 300, 16, 24, 6
MOST = 3


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def place(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank, the embeddings of two nights, and a rescoring of the first."""
    place, random = tmp_path_factory.mktemp("memory"), np.random.default_rng(0)
    labels = unit(random.normal(size=(LABELS, DIM)))
    texts = [f"label {number}" for number in range(LABELS)]
    info = BankInfo(temperature=0.1)
    LabelBank(texts, ["noun"] * LABELS, IDS, labels, np.full(LABELS, np.nan), [None] * LABELS, info).save(
        place / "bank"
    )
    for night in ("first", "second"):
        (place / night).mkdir()
        values = unit(labels[random.integers(LABELS, size=ROWS)] + 0.15 * random.normal(size=(ROWS, DIM)))
        keys = [f"{night} {row}" for row in range(ROWS)]
        pq.write_table(pa.table({"key": keys, "embedding": values.tolist()}), place / night / "images.parquet")
    run(place, "first", "before")
    return place


def asked(place: Path, night: str, output: str, **changes: Any) -> Rescore:
    settled: dict[str, Any] = {
        "method": ("adaneg", "neglabel"),
        "param": {"adaneg.memory_length": MOST + 1, "neglabel.groups": 3},
        "read": ReadEmbeddings(rows_per_shard=60),
        "score": ScorePool(workers=1, cpus=1),
    }
    return Rescore(
        embeddings=(str(place / night),), labels=str(place / "bank"), output=str(place / output), **settled | changes
    )


def run(place: Path, night: str, output: str, **changes: Any) -> dict[str, Any]:
    return rescore(asked(place, night, output, **changes))


def scores_of(place: Path, output: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / output / "scores").iterdir()}


def snapshot(place: Path, output: str) -> pa.Table:
    return pq.read_table(place / output / "memory/snapshot-5.parquet")


def merged(*parts: pa.Table) -> pa.Table:
    bank = MemoryBank(np.full(LABELS, MOST), DIM)
    for part in parts:
        bank.offer(candidates_of(part, DIM))
    return memory_table("adaneg", bank.snapshot())


def column(place: Path, output: str, name: str) -> np.ndarray:
    return pq.read_table(place / output / "scores").sort_by("key")[name].to_numpy()


def test_a_memory_split_over_actors_is_the_same_to_the_byte(place: Path) -> None:
    run(place, "first", "split", memory=Memory(shards=3), score=ScorePool(workers=2, cpus=0.5))
    assert scores_of(place, "split") == scores_of(place, "before")
    assert snapshot(place, "split").equals(snapshot(place, "before"))
    assert json.loads((place / "split/summary.json").read_text())["last_run"]["memory"]["actors"] == 3


def test_streaming_order_goes_over_the_images_once_and_remembers_the_same(place: Path) -> None:
    summary = run(place, "first", "streaming", order="streaming", memory=Memory(max_staleness=0))
    assert snapshot(place, "streaming").equals(snapshot(place, "before"))
    found = pq.read_table(place / "streaming/scores")
    assert found["memory_version"].null_count == 0
    assert found["memory_version"].to_numpy().min() > 0
    assert summary["last_run"]["memory"]["adaneg"]["published"] > 0
    assert verify(str(place / "streaming"), {}, tables=True).problems == []
    same = column(place, "streaming", "score_neglabel") == column(place, "before", "score_neglabel")
    assert same.all()
    assert not (column(place, "streaming", "score_adaneg") == column(place, "before", "score_adaneg")).all()


def test_a_scan_that_begins_with_an_earlier_memory_ends_with_the_best_of_both(place: Path) -> None:
    run(place, "second", "alone")
    run(place, "second", "after", memory=Memory(uri=str(place / "before")))
    expected = merged(snapshot(place, "before"), snapshot(place, "alone"))
    assert snapshot(place, "after").equals(expected)
    assert {key.split()[0] for key in expected["key"].to_pylist()} == {"first", "second"}
    assert verify(str(place / "after"), {}, tables=True).problems == []


def test_a_frozen_memory_learns_nothing_and_says_its_version(place: Path) -> None:
    run(place, "first", "frozen", memory=Memory(uri=str(place / "before"), freeze=True))
    np.testing.assert_array_equal(column(place, "frozen", "score_adaneg"), column(place, "before", "score_adaneg"))
    assert set(column(place, "frozen", "memory_version").tolist()) == {5}
    assert not (place / "frozen/memory").exists()
    assert verify(str(place / "frozen"), {}, tables=True).problems == []


def test_every_row_says_of_how_many_shards_its_memory_is(place: Path) -> None:
    assert set(column(place, "before", "memory_version").tolist()) == {5}


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        (
            {"param": {"adaneg.memory_length": 7}},
            "'s/before' was learned with adaneg.memory_length = 4, which is now 7",
        ),
        (
            {"method": ("interneg",), "param": {}, "text_embeddings": None},
            "'s/before' was learned by adaneg, neglabel, not by --method interneg",
        ),
        ({"method": ("mcm",), "param": {}}, "'s/before': none of the methods mcm learns from the images"),
        ({"order": "sequential"}, "'s/before': sequential order begins with an empty memory"),
        ({"memory": Memory(uri="nowhere")}, "'nowhere' is not a scan directory: "),
        ({"labels": "s/other bank"}, "'s/before' was learned with another label bank"),
    ],
)
def test_a_memory_that_does_not_fit_is_refused(place: Path, changes: dict[str, Any], mistake: str) -> None:
    bank = LabelBank.load(place / "bank")
    (place / "other bank").mkdir(exist_ok=True)
    LabelBank(bank.texts, bank.parts, IDS, -bank.embeddings, bank.selection_scores, bank.verdicts).save(
        place / "other bank"
    )
    given = {"memory": Memory(uri=str(place / "before")), **changes}
    chosen = asked(place, "second", "refused", **{key: value for key, value in given.items() if key != "labels"})
    if "labels" in given:
        chosen = chosen.model_copy(update={"labels": str(place / "other bank")})
    with pytest.raises(CallerError) as refused:
        rescore(chosen)
    assert str(refused.value).startswith(f"--memory {mistake}".replace("'s/", f"'{place}/"))


def test_orders_that_do_not_go_together_are_refused(place: Path) -> None:
    both = {"method": ("adaneg", "interneg"), "param": {"adaneg.order": "streaming"}}
    with pytest.raises(CallerError, match="adaneg in streaming and interneg in transductive order do not go into one"):
        rescore(asked(place, "first", "refused", **both))
    with pytest.raises(CallerError, match="--order streaming: interneg turns images into words once it has seen them"):
        rescore(asked(place, "first", "refused", method=("interneg",), param={}, order="streaming"))


def test_an_order_for_methods_that_learn_nothing_is_refused(place: Path) -> None:
    with pytest.raises(CallerError, match="--order streaming: none of the methods mcm learns from the images"):
        rescore(asked(place, "first", "refused", method=("mcm",), param={}, order="streaming"))
