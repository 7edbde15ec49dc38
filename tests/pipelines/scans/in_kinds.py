"""Embeddings of images in a few kinds, and a label bank for them, to be rescored."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq
import torch

from ood_core.labels import BankInfo, LabelBank
from pipelines.config.pools import ScorePool
from pipelines.config.rescore import ReadEmbeddings, Rescore

ROWS, DIM, LABELS, IDS, BAD = 300, 16, 24, 6, (7, 131)


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def images(rows: int = ROWS) -> pa.Table:
    """In a few kinds, two rows of them bad, with columns of their own that are called like ours."""
    random = np.random.default_rng(0)
    kinds = unit(random.normal(size=(12, DIM)))
    values = unit(kinds[random.integers(len(kinds), size=rows)] + 0.2 * random.normal(size=(rows, DIM)))
    cells: list[Any] = values.tolist()
    for row in BAD:
        if row < rows:
            cells[row] = None
    keys = [f"image {row}" for row in range(rows)]
    embeddings = pa.array(cells, pa.list_(pa.float32(), DIM))
    return pa.table({"key": keys, "embedding": embeddings, "anchor": keys, "consensus_weight": list(range(rows))})


def fill(place: Path) -> None:
    """Writes the bank and the images to where `asked` looks for them."""
    bank().save(place / "bank")
    (place / "images").mkdir()
    pq.write_table(images(), place / "images/all.parquet")


def good_images() -> tuple[list[str], torch.Tensor]:
    """Keys and embeddings."""
    given = images()
    good = given.filter(given["embedding"].is_valid())
    values = good["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, DIM)
    return good["key"].to_pylist(), torch.from_numpy(values.copy())


def good_rows(output: Path) -> pa.Table:
    return pq.read_table(output / "scores").filter(compute.field("status") == "ok")


def files_of(output: Path) -> dict[str, bytes]:
    """Scores and all of consensus that they were made with."""
    found = [*output.glob("scores/*"), *output.glob("consensus/**/*.parquet")]
    return {str(path.relative_to(output)): path.read_bytes() for path in found}


def bank() -> LabelBank:
    random, texts = np.random.default_rng(1), [f"label {number}" for number in range(LABELS)]
    labels = unit(random.normal(size=(LABELS, DIM)))
    info = BankInfo(temperature=0.1)
    return LabelBank(texts, ["noun"] * LABELS, IDS, labels, np.full(LABELS, np.nan), [None] * LABELS, info)


def asked(place: Path, output: str, **changes: Any) -> Rescore:
    settled: dict[str, Any] = {
        "embeddings": (str(place / "images"),),
        "method": ("neglabel", "consensus"),
        "param": {"neglabel.groups": 3, "consensus.rounds": 3},
        "read": ReadEmbeddings(rows_per_shard=60),
        "score": ScorePool(workers=1, cpus=1),
    }
    return Rescore(labels=str(place / "bank"), output=str(place / output), **settled | changes)
