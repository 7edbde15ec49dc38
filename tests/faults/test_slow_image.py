"""An image whose decoding does not end costs itself and the life of its worker, and no other image anything."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from ood_core.decoding import Decoder
from ood_core.labels import LabelBank
from ood_core.methods import MCM
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.plan import blocks_of
from pipelines.inputs.readers.record import Record
from pipelines.runtime.model import ModelFacts, ModelSpec, describe
from pipelines.runtime.spread import over_actors
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import SCORES, read_table, shard_file
from pipelines.scans.encode_images import CALLS_AT_ONCE
from pipelines.scans.workers.attempts import MOST_DEATHS, Attempts
from pipelines.scans.workers.decode import Decoded
from pipelines.scans.workers.encode import ScoreSpec
from pipelines.scans.workers.encode_shards import EncodeShards, EncodeSpec
from pipelines.storage import Directory

BUNDLED = ModelSpec("bundled")
SLOW = ["1-003", "1-017", "1-030", "folder/09.webp"]
"""More than the deaths over which a shard is given up, if these counted."""


class Slow(EncodeShards):
    """Never ends to decode some records."""

    def __init__(self, spec: EncodeSpec, committer: Committer, attempts: Any, keys: Sequence[str]) -> None:
        self.keys = keys
        super().__init__(spec, committer, attempts)

    def _decode(self, record: Record) -> tuple[Decoded, float]:
        while record.key in self.keys:
            time.sleep(1)
        return super()._decode(record)


def test_an_image_that_takes_too_long_is_a_row_that_says_so_and_changes_no_other(
    dataset: Path, bank_directory: Path, ray_session: None, tmp_path: Path
) -> None:
    facts, shards = describe(BUNDLED), plan_images([str(dataset)], Read(), {}).shards
    assert isinstance(facts, ModelFacts)
    score = ScoreSpec(LabelBank.load(bank_directory), {"mcm": MCM()})
    spec = EncodeSpec(Read(max_decode_s=3), {}, Decoder(facts.preprocessing), BUNDLED, score, decode_threads=2)
    undisturbed, output = Directory(str(tmp_path / "undisturbed")), Directory(str(tmp_path / "scan"))
    EncodeShards(spec, Committer(undisturbed, "f")).commit(shards)
    attempts: Any = ray.remote(num_cpus=0)(Attempts).remote()
    arguments = (spec, Committer(output, "f"), attempts, SLOW)
    list(over_actors(EncodePool(workers=1, cpus=1), blocks_of([shards]), Slow, arguments, CALLS_AT_ONCE))
    assert len(SLOW) > MOST_DEATHS
    found = list[str]()
    for shard in shards:
        rows, others = (read_table(place, shard_file(SCORES, shard.id)).to_pylist() for place in (output, undisturbed))
        for row, other in zip(rows, others, strict=True):
            if row["status"] == "too-slow":
                found.append(row["key"])
                assert row["error"] == "it was not decoded within 3 s"
                assert row["score_mcm"] is None
            else:
                assert row == other
    assert sorted(found) == SLOW
