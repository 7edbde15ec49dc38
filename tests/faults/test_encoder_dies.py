"""An encoder that dies in any of its states costs time and no byte; a shard that kills every encoder costs itself."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import ray

from ood_core.decoding import Decoder
from ood_core.labels import LabelBank
from ood_core.methods import MCM, ImageMethod, NegLabel
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.inputs.readers.record import Record
from pipelines.runtime.model import ModelFacts, ModelSpec, describe
from pipelines.runtime.spread import over_actors
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import SCORES, read_table, shard_file
from pipelines.scan_directory.receipts import Receipt
from pipelines.scans.encode_images import CALLS_AT_ONCE
from pipelines.scans.workers.attempts import MOST_DEATHS, Attempts
from pipelines.scans.workers.decode import Decoded
from pipelines.scans.workers.encode import ScoreSpec
from pipelines.scans.workers.encode_shards import Block, EncodeShards, EncodeSpec
from pipelines.scans.workers.open_shard import OpenShard
from pipelines.storage import Directory

BUNDLED, METHODS = ModelSpec("bundled"), dict[str, ImageMethod](neglabel=NegLabel(), mcm=MCM())
STATES = ("reading", "decoding", "encoding", "before the put", "between put and receipt")


class Dying(EncodeShards):
    """Dies in a state, `deaths` times in all, which it counts by files at `place`; only over a record of the key."""

    def __init__(self, spec: EncodeSpec, committer: Committer, attempts: Any, how: dict[str, Any]) -> None:
        self.how = how
        super().__init__(spec, committer, attempts)

    def _die(self, state: str, keys: Sequence[str]) -> None:
        if state == self.how["state"] and self.how["key"] in keys:
            count = len(list(self.how["place"].iterdir()))
            if count < self.how["deaths"]:
                (self.how["place"] / str(count)).touch()
                os._exit(1)

    def _read_records(self, shard: OpenShard) -> None:
        super()._read_records(shard)
        self._die("reading", ["1-017"] if shard.shard.id.startswith("shard-1-") else [])

    def _decode(self, record: Record) -> tuple[Decoded, float]:
        self._die("decoding", [record.key])
        return super()._decode(record)

    def _encoded_block(self, shards: list[OpenShard], keys: list[str]) -> Block:
        self._die("encoding", keys)
        return super()._encoded_block(shards, keys)

    def _write(self, shard: OpenShard) -> None:
        self._die("before the put", [record.key for record in shard._records])
        super()._write(shard)

    def _done(self, shard: OpenShard, receipt: Receipt) -> None:
        self._die("between put and receipt", [record.key for record in shard._records])
        super()._done(shard, receipt)


@pytest.fixture(scope="module")
def spec(bank_directory: Path) -> EncodeSpec:
    facts = describe(BUNDLED)
    assert isinstance(facts, ModelFacts)
    bank = LabelBank.load(bank_directory)
    return EncodeSpec(Read(), {}, Decoder(facts.preprocessing), BUNDLED, ScoreSpec(bank, METHODS), decode_threads=2)


@pytest.fixture(scope="module")
def shards(dataset: Path) -> list[Shard]:
    return plan_images([str(dataset)], Read(images_per_shard=4), {}).shards


def files(output: Directory) -> dict[str, bytes]:
    """The committed tables; beside them may lie what a worker was writing when it died."""
    return {name: output.read(f"scores/{name}") for name in output.names("scores") if name.startswith("part-")}


@pytest.fixture(scope="module")
def undisturbed(spec: EncodeSpec, shards: list[Shard], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = Directory(str(tmp_path_factory.mktemp("undisturbed")))
    EncodeShards(spec, Committer(output, "f")).commit(shards)
    return files(output)


def encoded(spec: EncodeSpec, shards: list[Shard], output: Directory, how: dict[str, Any]) -> list[dict[str, Any]]:
    """The receipts of all shards, in ranges of three, by one worker that dies and is started again."""
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    groups = blocks_of([shards[start : start + 3] for start in range(0, len(shards), 3)])
    how["place"].mkdir()
    arguments = (spec, Committer(output, "f"), attempts, how)
    pool = EncodePool(workers=1, cpus=1)
    return [row for table in over_actors(pool, groups, Dying, arguments, CALLS_AT_ONCE) for row in table.to_pylist()]


@pytest.mark.parametrize("state", STATES)
def test_an_encoder_that_dies_in_any_state_changes_no_byte(
    spec: EncodeSpec, shards: list[Shard], undisturbed: dict, ray_session: None, tmp_path: Path, state: str
) -> None:
    output, how = Directory(str(tmp_path / "scan")), {"state": state, "key": "1-017", "deaths": 1}
    receipts = encoded(spec, shards, output, how | {"place": tmp_path / "deaths"})
    assert sorted(receipt["shard"] for receipt in receipts) == sorted(shard.id for shard in shards)
    assert sum(receipt["records"] for receipt in receipts) == 130
    assert len(list((tmp_path / "deaths").iterdir())) == 1
    assert files(output) == undisturbed


def test_a_shard_that_kills_every_encoder_becomes_rows_that_say_so(
    spec: EncodeSpec, shards: list[Shard], undisturbed: dict, ray_session: None, tmp_path: Path
) -> None:
    output, how = Directory(str(tmp_path / "scan")), {"state": "decoding", "key": "folder/09.webp", "deaths": 100}
    receipts = encoded(spec, shards, output, how | {"place": tmp_path / "deaths"})
    (poison,) = (shard for shard in shards if "folder/09.webp" in shard.keys)
    assert len(list((tmp_path / "deaths").iterdir())) == MOST_DEATHS
    table = read_table(output, shard_file(SCORES, poison.id))
    assert table["key"].to_pylist() == list(poison.keys)
    assert set(table["status"].to_pylist()) == {"crashed-worker"}
    assert set(table["error"].to_pylist()) == {"3 workers have died while they read its shard"}
    assert sum(receipt["records"] for receipt in receipts) == 130
    name = f"part-{poison.id}.parquet"
    assert {other: content for other, content in files(output).items() if other != name} == {
        other: content for other, content in undisturbed.items() if other != name
    }
