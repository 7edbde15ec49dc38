"""Every method's scores against the authors' own, through `oodscan rescore`: arrays to Parquet, columns compared."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ood_core.methods import score_column
from pipelines.commands.app import app
from tests.conformance.given import Vectors, bank, keys, pair, vectors

SEQUENTIAL = ["adaneg.order=sequential", "adaneg.batch_size=40", "adaneg.memory_length=4"]
CASES = [
    (
        "neglabel",
        {"neglabel": ("score_groups_1", 1e-5), "mcm": ("mcm.score_T1", 1e-6)},
        ["neglabel.groups=1"],
    ),
    (
        "neglabel",
        {"neglabel": ("score_groups_5", 1e-5), "mcm": ("mcm.score_T001", 3e-6)},
        ["neglabel.groups=5", "mcm.temperature=0.01"],
    ),
    ("neglabel", {"neglabel": ("score_groups_20", 1e-5)}, ["neglabel.groups=20"]),
    ("neglabel", {"neglabel": ("score_groups_100", 1e-5)}, ["neglabel.groups=100"]),
    ("reference", {"max-cos": ("max_cos", 1e-6)}, []),
    ("negrefine", {"neglabel": ("neglabel", 1e-5), "negrefine": ("score", 1e-5)}, []),
    ("debiased_tau0.5", {"debiased": ("score", 1e-5)}, ["debiased.groups=20"]),
    (
        "debiased_tau0.12",
        {"debiased": ("score", 1e-3)},
        ["debiased.groups=20", "debiased.true_negative_fraction=0.12"],
    ),
    ("adaneg_task", {"adaneg": ("score", 1e-4)}, SEQUENTIAL),
    ("adaneg_sample", {"adaneg": ("score", 1e-4)}, [*SEQUENTIAL, "adaneg.proxies=sample"]),
    ("adaneg_adagap_task", {"adaneg": ("score", 1e-4)}, [*SEQUENTIAL, "adaneg.adaptive_gap=true"]),
    (
        "adaneg_adagap_sample",
        {"adaneg": ("score", 1e-4)},
        [*SEQUENTIAL, "adaneg.adaptive_gap=true", "adaneg.proxies=sample"],
    ),
]


def lists(values: np.ndarray) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def write_pairs(given: Vectors, path: Path) -> None:
    ids, negatives = range(len(given["id_text"])), range(len(given["neg_text"]))
    texts = [f"id {i} and negative {j}" for i in ids for j in negatives]
    embeddings = np.stack([pair(given, i, j) for i in ids for j in negatives])
    pq.write_table(pa.table({"text": texts, "embedding": lists(embeddings)}), path)


def renamed(given: Vectors) -> Vectors:
    """Under the names that all but the reference's vectors have."""
    return {"id_text": given["id_labels"], "image": given["embeddings"]} if "id_labels" in given else given


@pytest.mark.parametrize(("file", "columns", "parameters"), CASES)
def test_a_rescored_table_holds_the_authors_scores(tmp_path, request, file, columns, parameters):
    given = renamed(vectors(file))
    request.getfixturevalue("ray_session")  # not before it is known that there are vectors
    bank(given).save(tmp_path / "bank")
    table = pa.table({"key": keys(given), "embedding": lists(given["image"])})
    pq.write_table(table.slice(0, 130), tmp_path / "images-0.parquet")
    pq.write_table(table.slice(130), tmp_path / "images-1.parquet")
    command = ["rescore", "--labels", str(tmp_path / "bank"), "--output", str(tmp_path / "out"), "--score-workers", "1"]
    command += [part for number in (0, 1) for part in ("--embeddings", str(tmp_path / f"images-{number}.parquet"))]
    command += [part for method in columns for part in ("--method", method)]
    command += [part for parameter in parameters for part in ("--param", parameter)]
    if file == "negrefine":
        write_pairs(given, tmp_path / "pairs.parquet")
        command += ["--text-embeddings", str(tmp_path / "pairs.parquet")]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = pq.read_table(tmp_path / "out" / "scores")
    assert found["key"].to_pylist() == keys(given)
    for method, (column, tolerance) in columns.items():
        other, _, name = column.rpartition(".")  # the vectors are of the same images and ID labels
        expected = vectors(other or file)[name]
        np.testing.assert_allclose(found[score_column(method)].to_numpy(), expected, rtol=0, atol=tolerance)
