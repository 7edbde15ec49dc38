"""A small scan by consensus, made by hand: eight images of four shards, one of them empty, and four anchors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.consensus.agreement import Agreement, agreed
from ood_core.consensus.log_odds import log_odds
from ood_core.consensus.votes import Votes
from ood_core.labels import LabelBank
from ood_core.methods import Consensus, NegLabel
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.tables import votes_of, votes_table
from pipelines.inputs.image_plan import plan_images
from pipelines.scan_directory.columns import scattered
from pipelines.scan_directory.identity import asked_for, begin, fingerprint, model_identity
from pipelines.scan_directory.layout import FINGERPRINT_KEY, RECORDS_KEY, SCORES, VOTES, shard_file, table_bytes
from pipelines.storage import Directory
from tests.pipelines.made_scan import FACTS, SPEC, renamed
from tests.pipelines.reports.shown import configured

EMPTY, FIRST, SECOND, THIRD = SHARDS = "empty-e0e0e0e0", "data-11111111", "data-22222222", "data-33333333"
ANCHORS = np.array(
    [[1, 0, 0, 0, 0, 0], [0, 0.6, 0, 0, 0.8, 0], [0, 0.5, 0.5, 0, 0.5, 0.5], [0, 0, 0, 0, 0, 1]], np.float32
)
ODD = "b|2\n\x1b[31m"
WEIGHTS = {"0.01": 0.125, "0.5": 0.25, "0.99": 0.5}
Image = tuple[str, int, float, float, float] | tuple[str]
"""Key, nearest anchor, score by NegLabel, score by consensus and shift; a bad record has a key only."""
IMAGES: dict[str, list[Image]] = {
    EMPTY: [],
    FIRST: [("a0", 0, 0.875, 1.0, 0.25), ("bad",), ("a2", 2, 0.25, -1.5, -0.5)],
    SECOND: [("b0", 2, 0.5, -1.0, -0.25), (ODD, 2, 0.125, -1.5, 0.0), ("b2", 1, 0.5, -1.25, 0.25)],
    THIRD: [("c0", 1, 0.375, -0.75, 0.5), ("c1", 2, 0.625, 0.0, 0.25)],
}
PARAMETERS = Consensus(nearest=2)


def save_bank(root: Path, negatives: int = 4) -> LabelBank:
    """Saves a label bank of two ID labels and so many negatives to `bank`, one axis a label."""
    texts = ["cat", "dog", "hammer", "flag", "red|hot", "cloud"][: 2 + negatives]
    count = len(texts)
    vectors = np.eye(count, 6, dtype=np.float32)
    bank = LabelBank(texts, ["noun"] * count, 2, vectors, np.full(count, np.nan), [None] * count)
    bank.save(root / "bank")
    return bank


def begun(root: Path, negatives: int = 4, **chosen: Any) -> ConsensusFiles:
    """The files of a scan that has a plan, and no shard scored yet."""
    (root / "data").mkdir()
    (root / "data/empty.tar").write_bytes(bytes(10240))
    for number in range(8):
        (root / f"data/{number}.jpg").write_bytes(b"image")
    config = configured(root, **{"method": ("neglabel", "consensus"), "param": {"consensus.nearest": 2}} | chosen)
    planned = renamed(plan_images(config.input, config.read, {}), SHARDS)
    output = Directory(config.output)
    content_hash = save_bank(root, negatives).content_hash()
    identity = asked_for(config, config.methods(), content_hash, planned) | model_identity(SPEC, FACTS)
    begin(output, config, identity, planned)
    return ConsensusFiles(output, fingerprint(identity))


def put(files: ConsensusFiles, folder: str, shard: str, table: pa.Table) -> None:
    """Commits a table of a shard to a folder of the scan."""
    metadata = {FINGERPRINT_KEY: files.fingerprint, RECORDS_KEY: str(len(table))}
    files.output.put(shard_file(folder, shard), table_bytes(table, metadata))


def scores_table(shard: str, images: list[Image]) -> pa.Table:
    """The score table of a shard."""
    keys, *values = (
        zip(*((*image, *[None] * (5 - len(image))) for image in images), strict=True) if images else [()] * 5
    )
    anchors, base, consensus, shifts = values
    numbers = {"score_neglabel": base, "score_consensus": consensus}
    return pa.table(
        {
            "shard": pa.array([shard] * len(images), pa.string()),
            "index": pa.array(range(len(images)), pa.int64()),
            "key": pa.array(keys, pa.string()),
            "status": pa.array(["unreadable-image" if anchor is None else "ok" for anchor in anchors], pa.string()),
            **{name: pa.array(column, pa.float64()) for name, column in numbers.items()},
            "anchor": pa.array(anchors, pa.int32()),
            "consensus_weight": pa.array([None if anchor is None else 0.25 for anchor in anchors], pa.float64()),
            "consensus_shift": pa.array(shifts, pa.float64()),
        }
    )


def votes_for(scores: pa.Table) -> pa.Table:
    """The table of votes of a shard, as if each image's second nearest anchor were the one after its nearest."""
    good = scores.filter(scores["anchor"].is_valid())
    first = good["anchor"].to_numpy()
    base = log_odds(good["score_neglabel"].to_numpy(), NegLabel())
    weights = np.tile(np.array([0.75, 0.25], np.float32), (len(good), 1))
    anchors = np.stack([first, (first + 1) % 4], axis=1).astype(np.int32)
    votes = votes_table(Votes(base, anchors, weights, np.full(len(good), 0.5, np.float32)))
    ok = np.flatnonzero(scores["anchor"].is_valid().to_numpy())
    known = {name: scattered(votes[name].combine_chunks(), ok, len(scores)) for name in votes.column_names}
    return pa.table({"shard": scores["shard"], "index": scores["index"], **known})


def put_consensus(files: ConsensusFiles) -> Agreement:
    """Writes the anchors, the votes, and the sums of all steps; returns the agreement that they come to."""
    files.put_anchors(ANCHORS)
    tables = {shard: votes_for(scores_table(shard, images)) for shard, images in IMAGES.items()}
    for shard, table in tables.items():
        put(files, VOTES, shard, table)
    found = agreed(PARAMETERS, len(ANCHORS), map(votes_of, tables.values()))
    for step, sums in enumerate(found.known):
        files.put_sums(step, sums)
    return found


def put_scores(files: ConsensusFiles) -> None:
    """Commits the score table of every shard."""
    for shard, images in IMAGES.items():
        put(files, SCORES, shard, scores_table(shard, images))


def end(files: ConsensusFiles) -> None:
    """Writes the scan's summary."""
    summary = {"records": 8, "quantiles": {"consensus_weight": WEIGHTS}}
    files.output.put("summary.json", json.dumps(summary).encode())


def whole(root: Path, **chosen: Any) -> Path:
    """The directory of a scan that has ended."""
    files = begun(root, **chosen)
    put_consensus(files)
    put_scores(files)
    end(files)
    return root / "out"
