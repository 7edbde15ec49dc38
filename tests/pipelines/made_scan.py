"""A small scan made by hand with the real committer: three shards, of which one is empty."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from ood_core.preprocessing import Preprocessing
from pipelines.config.model import Model
from pipelines.config.scan import Scan
from pipelines.flags.summary import flags_summary
from pipelines.flags.thresholds import MethodThreshold, Thresholds
from pipelines.flags.workers import FlagShards, FlagSpec
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.plan import Plan, Shard
from pipelines.runtime.machine import Machine
from pipelines.runtime.model import ModelFacts, ModelSpec
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.identity import Fingerprints, asked_for, begin, model_identity
from pipelines.scan_directory.layout import FINGERPRINT_KEY, GALLERY_FILE, table_bytes
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import receipts_table
from pipelines.scan_directory.summary import Tally
from pipelines.scans.make_gallery import NONE
from pipelines.storage import Directory

MACHINE = Machine("NVIDIA H100", torch="2.13.0", torchvision="0.28.0", pillow="13.0.0")
FACTS = ModelFacts("weights", 4, 0.01, Preprocessing((8, 8)), machine=MACHINE)
SPEC = ModelSpec("bundled")


def rows(shard: str, keys: list[str], bad: tuple[int, ...] = ()) -> pa.Table:
    """What an encoder makes of a shard of these keys."""
    index = list(range(len(keys)))
    ok = [number not in bad for number in index]
    vector = np.array([0.6, 0.8, 0.0, 0.0], np.float16)
    columns = {
        "shard": pa.array([shard] * len(index), pa.string()),
        "index": pa.array(index, pa.int64()),
        "key": pa.array(keys, pa.string()),
        "status": pa.array(["ok" if good else "unreadable-image" for good in ok], pa.string()),
        "error": pa.array([None if good else "broken" for good in ok], pa.string()),
        "score_mcm": pa.array([number / 7 if good else None for number, good in enumerate(ok)], pa.float64()),
        "embedding": pa.array([vector if good else None for good in ok], pa.list_(pa.float16(), 4)),
    }
    return pa.table(columns)


def rows_of(shard: Shard) -> pa.Table:
    return rows(shard.id, list(shard.keys), bad=(1,))


def configured(root: Path) -> Scan:
    return Scan(
        input=(str(root / "data"),),
        labels="bank",
        output=str(root / "out"),
        method=("mcm",),
        model=Model(name="bundled"),
        read={"images_per_shard": 3},  # pyright: ignore[reportArgumentType]
        embeddings=True,
    )


def renamed(planned: Plan, ids: Sequence[str]) -> Plan:
    """The plan with shards of these ids, which tests can know before there are files."""
    shards = [replace(shard, id=name) for shard, name in zip(planned.shards, ids, strict=True)]
    return Plan(shards, planned.passed_over)


def end(output: Directory, fingerprints: Fingerprints, tally: Tally, thresholds: dict[str, float]) -> Tally:
    """Flags the committed score tables, and writes manifest and summary. Returns what all receipts come to."""
    methods = {name: MethodThreshold(value, "given") for name, value in thresholds.items()}
    found = Thresholds({}, next(iter(thresholds)), "folder", methods)
    found.put(output)
    flag, flagged = FlagShards(FlagSpec(output, fingerprints.scores, thresholds, found.deciding, "folder")), Tally()
    for table in tally.receipts:
        for receipts in flag(table):
            flagged.add(receipts)
    Manifest(output, fingerprints.whole).replace(flagged)
    summary = {**flagged.described(), **flags_summary(output, flagged, None), "within_error_budget": True}
    output.put("summary.json", json.dumps(summary).encode())
    return flagged


def make_scan(root: Path, ids: Sequence[str] = ()) -> Directory:
    """Five images in two slices and an empty tar, scored; `root/out`. `ids`: of its shards, instead of their own."""
    (root / "data").mkdir()
    (root / "data/empty.tar").write_bytes(bytes(10240))
    for number in range(5):
        (root / f"data/{number}.jpg").write_bytes(b"image")
    config = configured(root)
    planned, output, tally = plan_images(config.input, config.read, {}), Directory(config.output), Tally()
    planned = renamed(planned, ids) if ids else planned
    identity = asked_for(config, config.methods(), "bank hash", planned) | model_identity(SPEC, FACTS)
    begin(output, config, identity, planned)
    fingerprints = Fingerprints.of_identity(identity, config.methods(), False)
    committer = Committer(output, fingerprints.scores)
    for shard in planned.shards:
        tally.add(receipts_table([committer.commit(shard.id, rows_of(shard))]))
    end(output, fingerprints, tally, {"mcm": 0.3})
    output.put(GALLERY_FILE, table_bytes(NONE, {FINGERPRINT_KEY: fingerprints.whole}))
    output.put("_SUCCESS", b"")
    return output
