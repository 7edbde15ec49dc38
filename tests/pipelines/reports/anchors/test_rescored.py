"""The anchor report of a real rescoring against a slow computation from its tables."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ood_core.labels import LabelBank
from pipelines.commands.app import app
from pipelines.config.pools import ScorePool
from pipelines.config.rescore import ReadEmbeddings, Rescore
from pipelines.scans.rescore import rescore
from tests.pipelines.in_plan_order import parts, score_rows

IMAGES, SHARDS = 300, 7


@pytest.fixture(scope="module")
def bank(bank_directory: Path) -> LabelBank:
    return LabelBank.load(bank_directory)


@pytest.fixture(scope="module")
def out(bank: LabelBank, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a rescoring of embeddings near the bank's labels, three of which are NaN."""
    root = tmp_path_factory.mktemp("rescored")
    random = np.random.default_rng(0)
    noise = random.normal(size=(IMAGES, bank.dim)) / np.sqrt(bank.dim)
    vectors = bank.embeddings[random.integers(len(bank.texts), size=IMAGES)] + 0.8 * noise
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors[[3, 50, 299]] = np.nan
    keys = [f"image {row:03d}" for row in range(IMAGES)]
    embeddings = pa.array(vectors.tolist(), pa.list_(pa.float32(), bank.dim))
    pq.write_table(pa.table({"key": keys, "embedding": embeddings}), root / "images.parquet")
    config = Rescore(
        embeddings=(str(root / "images.parquet"),),
        labels=str(bank_directory),
        output=str(root / "out"),
        method=("mcm", "neglabel", "consensus"),
        param={"neglabel.groups": 3, "consensus.images_per_anchor": 12},
        read=ReadEmbeddings(rows_per_shard=48),
        score=ScorePool(workers=1),
        max_bad_fraction=0.1,
    )
    summary = rescore(config)
    assert (summary["shards"], summary["statuses"]["ok"]) == (SHARDS, IMAGES - 3)
    return root / "out"


@pytest.fixture(scope="module")
def said(out: Path) -> dict[str, Any]:
    """What `oodscan anchors show --json` prints of it."""
    ended = CliRunner().invoke(app, ["anchors", "show", str(out), "--top", "99", "--json"], catch_exceptions=False)
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def scored(out: Path) -> list[dict[str, Any]]:
    """The rows of the score tables that have scores."""
    return [row for row in score_rows(out).to_pylist() if row["status"] == "ok"]


def test_each_anchor_has_the_means_of_its_images(said: dict[str, Any], scored: list[dict[str, Any]]) -> None:
    of: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in scored:
        of[row["anchor"]].append(row)
    means = {anchor: float(np.mean([row["score_consensus"] for row in rows])) for anchor, rows in of.items()}
    assert [one["anchor"] for one in said["most_out_of_place"]] == sorted(of, key=lambda anchor: means[anchor])
    for one in said["most_out_of_place"]:
        rows = of[one["anchor"]]
        assert one["images"] == len(rows)
        assert one["mean_consensus_score"] == pytest.approx(means[one["anchor"]], abs=1e-12)
        for shown, column in (("mean_base_score", "score_neglabel"), ("mean_shift", "consensus_shift")):
            assert one[shown] == pytest.approx(float(np.mean([row[column] for row in rows])), abs=1e-12)
        lowest = sorted(rows, key=lambda row: row["score_consensus"])[:5]
        assert one["examples"] == [
            {"key": row["key"], "shard": row["shard"], "index": row["index"], "score": row["score_consensus"]}
            for row in lowest
        ]


def test_each_anchor_has_its_nearest_labels(said: dict[str, Any], out: Path, bank: LabelBank) -> None:
    anchors = np.array(pq.read_table(out / "consensus/anchors.parquet")["embedding"].to_pylist())
    for one in said["most_out_of_place"]:
        cosines = dict(zip(bank.texts, (bank.embeddings @ anchors[one["anchor"]]).tolist(), strict=True))
        ids, negatives = bank.texts[: bank.id_count], bank.texts[bank.id_count :]
        best = max(ids, key=lambda text: cosines[text])
        assert one["nearest_id_label"] == {"label": best, "cosine": pytest.approx(cosines[best], abs=1e-5)}
        assert one["nearest_negatives"] == [
            {"label": text, "cosine": pytest.approx(cosines[text], abs=1e-5)}
            for text in sorted(negatives, key=lambda text: -cosines[text])[:3]
        ]


def test_the_agreement_is_the_correlation_of_images_with_their_neighbours(said: dict[str, Any], out: Path) -> None:
    tables = [pq.ParquetFile(out / "consensus/votes" / part).read() for part in parts(out)]
    rows = [row for table in tables for row in table.to_pylist() if row["log_odds"] is not None]
    values = np.array([row["log_odds"] for row in rows])
    u = (values - values.mean()) / values.std()
    weights = np.zeros((len(rows), said["anchors"]))
    for number, row in enumerate(rows):
        weights[number, row["anchors"]] = row["weights"]
    others = weights.sum(0) - weights
    theirs = (weights * u[:, None]).sum(0) - weights * u[:, None]
    means = np.where(others > 1e-3, theirs / np.where(others > 1e-3, others, 1), u[:, None])
    assert said["agreement"] == pytest.approx(np.corrcoef(u, (weights * means).sum(1))[0, 1], abs=1e-6)


def test_it_tells_of_how_many_images_it_is(said: dict[str, Any], out: Path) -> None:
    summary = json.loads((out / "summary.json").read_text())
    assert said["images"] == IMAGES - 3
    assert said["anchors"] == summary["learned"]["consensus"]["anchors"] == (IMAGES - 3) // 12
    assert said["agreement"] == summary["learned"]["consensus"]["agreement"]
    assert said["consensus_weight"] == summary["quantiles"]["consensus_weight"]
    assert sum(one["images"] for one in said["most_out_of_place"]) == IMAGES - 3
    assert len(said["most_out_of_place"]) == said["nearest_to_some"]
    assert said["notes"] == []
