"""The encoding actor as a plain object, without Ray."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ood_core.decoding import Decoder
from ood_core.encoders import ClipEncoder, ModelError
from ood_core.labels import LabelBank
from ood_core.methods import GLMCM, MCM, ImageMethod, NegLabel, NegRefine
from ood_core.preprocessing import Preprocessing
from ood_core.scores import ImageScorer
from ood_core.vocabulary import CSP, NEGLABEL
from pipelines.config.scan import Read
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.inputs.readers.record import Record
from pipelines.inputs.records import records
from pipelines.runtime.machine import this_machine
from pipelines.runtime.model import ModelFacts, ModelSpec, describe, facts_of
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import EMBEDDINGS, SCORES, read_table, shard_file
from pipelines.scans.workers.attempts import MOST_DEATHS, Attempts, one_by_one
from pipelines.scans.workers.decode import Decoded, decode
from pipelines.scans.workers.encode import ScoreSpec
from pipelines.scans.workers.encode_shards import EncodeShards, EncodeSpec
from pipelines.scans.workers.room import Room
from pipelines.storage import Directory
from tests.conftest import DEMO, write_tar
from tests.ood_core.conftest import write_model

BUNDLED = ModelSpec("bundled")
STATIC: dict[str, ImageMethod] = {"neglabel": NegLabel(), "mcm": MCM()}


@pytest.fixture(scope="module")
def facts() -> ModelFacts:
    found = describe(BUNDLED)
    assert isinstance(found, ModelFacts)
    return found


@pytest.fixture(scope="module")
def bank(bank_directory: Path) -> LabelBank:
    return LabelBank.load(bank_directory)


@pytest.fixture(scope="module")
def shards(dataset: Path) -> list[Shard]:
    return plan_images([str(dataset)], Read(images_per_shard=12), {}).shards


@pytest.fixture
def output(tmp_path: Path) -> Directory:
    return Directory(str(tmp_path / "scan"))


def spec_of(facts: ModelFacts, bank: LabelBank, **changes: Any) -> EncodeSpec:
    score = ScoreSpec(bank, changes.pop("methods", STATIC), embeddings="float16")
    return EncodeSpec(Read(), {}, Decoder(facts.preprocessing), changes.pop("model", BUNDLED), score, **changes)


def files(output: Directory) -> dict[str, bytes]:
    return {name: output.read(f"scores/{name}") for name in output.names("scores")}


@pytest.fixture(scope="module")
def whole(
    facts: ModelFacts, bank: LabelBank, shards: list[Shard], tmp_path_factory: pytest.TempPathFactory
) -> Directory:
    """All shards encoded by one worker with one thread for each stage, in one call."""
    place = Directory(str(tmp_path_factory.mktemp("whole") / "scan"))
    EncodeShards(spec_of(facts, bank), Committer(place, "f")).commit(shards)
    return place


def test_every_record_has_a_row_and_those_without_a_picture_have_no_scores(
    whole: Directory, shards: list[Shard]
) -> None:
    tables = [read_table(whole, shard_file(SCORES, shard.id)) for shard in shards]
    assert sum(map(len, tables)) == 130
    for table in tables:
        statuses = table["status"].to_pylist()
        for name in ("id_label", "id_probability", "negative_label", "score_neglabel", "score_mcm"):
            assert [value is None for value in table[name].to_pylist()] == [status != "ok" for status in statuses]
    assert len(read_table(whole, shard_file(EMBEDDINGS, shards[0].id))) == 40


@pytest.mark.parametrize(
    ("threads", "batch_size", "calls"), [(1, 1, 1), (2, 17, 3), (8, 300, 6)], ids=["slow", "three calls", "each a call"]
)
def test_no_thread_batch_or_call_changes_a_byte(
    facts: ModelFacts, bank: LabelBank, shards: list[Shard], output: Directory, whole: Directory,
    threads: int, batch_size: int, calls: int,
) -> None:  # fmt: skip
    spec = spec_of(facts, bank, decode_threads=threads, batch_size=batch_size)
    worker = EncodeShards(spec, Committer(output, "f"))
    groups = [[shards[number] for number in part] for part in np.array_split(range(len(shards)), calls)]
    with ThreadPoolExecutor(calls) as pool:
        receipts = [
            receipt for table in pool.map(worker, blocks_of(groups)) for receipt in pa.concat_tables(table).to_pylist()
        ]
    assert {receipt["shard"] for receipt in receipts} == {shard.id for shard in shards}
    assert sum(receipt["records"] for receipt in receipts) == 130
    assert files(output) == files(whole)


def test_what_is_committed_already_is_passed_over_and_told_of(
    facts: ModelFacts, bank: LabelBank, shards: list[Shard], whole: Directory
) -> None:
    before = {name: Path(f"{whole.url}/scores/{name}").stat().st_mtime_ns for name in whole.names("scores")}
    receipts = EncodeShards(spec_of(facts, bank), Committer(whole, "f")).commit(shards)
    assert [receipt["committed"] for receipt in receipts] == [None] * len(shards)
    assert sum(receipt["records"] for receipt in receipts) == 130
    assert {name: Path(f"{whole.url}/scores/{name}").stat().st_mtime_ns for name in whole.names("scores")} == before


def test_a_shard_of_bad_or_no_records_has_the_columns_of_any_other(
    facts: ModelFacts, bank: LabelBank, output: Directory, whole: Directory, tmp_path: Path, shards: list[Shard]
) -> None:
    write_tar(tmp_path / "bad.tar", {"a.png": b"", "b.png": b"nothing"})
    write_tar(tmp_path / "none.tar", {})
    EncodeShards(spec_of(facts, bank), Committer(output, "f")).commit(plan_images([str(tmp_path)], Read(), {}).shards)
    schema = read_table(whole, shard_file(SCORES, shards[0].id)).schema
    tables = [read_table(output, f"scores/{name}") for name in output.names("scores")]
    assert [table["status"].to_pylist() for table in tables] == [["empty-file", "unreadable-image"], []]
    assert [table.schema.remove_metadata() for table in tables] == [schema.remove_metadata()] * 2


def test_a_record_without_a_picture_waits_for_no_thread_and_no_room(
    facts: ModelFacts, bank: LabelBank, output: Directory, tmp_path: Path
) -> None:
    class Noting(EncodeShards):
        decoded: ClassVar[list[str]] = []

        def _decode(self, record: Record) -> tuple[Decoded, float]:
            self.decoded.append(record.key)
            return super()._decode(record)

    pq.write_table(pa.table({"image": [None] * 5000 + [b"no picture"]}), tmp_path / "a.parquet")
    shards = plan_images([str(tmp_path)], Read(images_per_shard=10_000), {}).shards
    worker = Noting(spec_of(facts, bank), Committer(output, "f"))
    worker.room = Room(1, 10)
    (receipt,) = worker.commit(shards)
    assert (receipt["records"], worker.decoded, worker.room.taken) == (5001, ["5000"], 0)


def test_a_shard_that_cannot_be_read_says_so_in_its_rows_and_costs_no_other_its_scores(
    facts: ModelFacts, bank: LabelBank, output: Directory, shards: list[Shard], whole: Directory
) -> None:
    kinds = ("tar", "parquet", "images")
    tar, table, folder = (next(shard for shard in shards if shard.kind == kind) for kind in kinds)
    gone = [replace(tar, id="tar", urls=["/nowhere/at-all.tar"]), replace(table, id="table", urls=["/nowhere/x"])]
    worker = EncodeShards(spec_of(facts, bank), Committer(output, "f"))
    receipts = worker.commit([gone[0], folder, gone[1]])
    assert [receipt["records"] for receipt in receipts] == [1, len(folder.keys), table.rows]
    for shard in gone:
        rows = read_table(output, shard_file(SCORES, shard.id))
        assert set(rows["status"].to_pylist()) == {"unreadable-file"}
        assert "/nowhere/" in rows["error"][0].as_py()
    name = shard_file(SCORES, folder.id)
    assert output.read(name) == whole.read(name)


def test_what_a_reader_raises_after_some_records_is_the_rest_of_its_shards_rows(
    facts: ModelFacts, bank: LabelBank, output: Directory, shards: list[Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(*_: Any) -> Iterator[Any]:
        yield from found[:3]
        raise RuntimeError("a library broke\nand says more")

    folder = next(shard for shard in shards if shard.kind == "images")
    found = list(records(folder, Read(), {}))
    monkeypatch.setattr("pipelines.inputs.records.read_images", breaking)
    EncodeShards(spec_of(facts, bank), Committer(output, "f")).commit([folder])
    rows = read_table(output, shard_file(SCORES, folder.id))
    assert rows["key"].to_pylist() == list(folder.keys)
    assert rows["status"].to_pylist()[3:] == ["unreadable-file"] * (len(folder.keys) - 3)
    assert set(rows["error"].to_pylist()[3:]) == {"a library broke"}


class UnwritableDirectory(Directory):
    def put(self, name: str, content: bytes) -> None:  # noqa: ARG002
        raise OSError("the disk is full")


def test_a_shard_that_cannot_be_written_fails_the_call(
    facts: ModelFacts, bank: LabelBank, tmp_path: Path, shards: list[Shard]
) -> None:
    worker = EncodeShards(spec_of(facts, bank), Committer(UnwritableDirectory(str(tmp_path)), "f"))
    with pytest.raises(OSError, match="the disk is full"):
        worker.commit(shards)


def test_more_is_never_read_ahead_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    room, taken = Room(3, 100), list[int]()

    def take(sizes: Iterator[int]) -> None:
        for size in sizes:
            room.take(size)
            taken.append(size)

    reader = threading.Thread(target=take, args=(iter([500, 40, 50, 20, 1, 1]),))
    reader.start()
    for now, freed in (([500], 500), ([500, 40, 50], 40), ([500, 40, 50, 20, 1], 50)):
        wait_for(lambda now=now: len(taken) >= len(now))
        assert taken == now
        room.free(freed)
    reader.join(10)
    assert taken == [500, 40, 50, 20, 1, 1]


def wait_for(condition: Any) -> None:
    ended = threading.Event()
    for _ in range(200):
        if condition():
            break
        ended.wait(0.01)
    ended.wait(0.05)


class Local:
    """An actor's methods as Ray calls them."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.actor, name)
        return type("Method", (), {"remote": staticmethod(method)})


def test_a_shard_that_kills_is_given_up_and_its_neighbours_are_not() -> None:
    attempts, shards = Attempts(), [Shard(name, "tar", [], [], [], "") for name in "abc"]
    done, deaths = list[str](), 0

    def work(shard: Shard) -> str:
        if shard.id == "b":
            raise SystemExit
        done.append(shard.id)
        return f"{shard.id} done"

    assert attempts.died_over(["a", "b", "c"]) == [0, 0, 0]
    attempts.begin(["a", "b", "c"])
    deaths += 1  # of all three at once: nobody knows of which
    while True:
        assert any(attempts.died_over(["a", "b", "c"]))
        try:
            found = one_by_one(
                Local(attempts), lambda answer: answer, shards, work, lambda shard: f"{shard.id} given up"
            )
            break
        except SystemExit:
            deaths += 1
    assert found == ["a done", "b given up", "c done"]
    assert deaths == MOST_DEATHS
    assert attempts.begun == set()


def test_other_weights_than_the_scan_was_begun_with_are_refused() -> None:
    with pytest.raises(ModelError, match="has other weights on this worker"):
        BUNDLED.settled(replace(facts_of(BUNDLED.load()), checksum="0" * 64)).load()


def test_a_model_is_described_without_raising() -> None:
    assert (
        describe(ModelSpec("local-dir:/nowhere")) == "Directory specified via 'local-dir:' schema not found: /nowhere"
    )


def test_a_models_facts_are_those_of_its_encoder(facts: ModelFacts) -> None:
    encoder = ClipEncoder.load(f"local-dir:{DEMO / 'model'}")
    why_not_local = "its image tower is a TimmModel, and local features are defined for OpenCLIP's VisionTransformer"
    assert facts.local_features == f"{why_not_local} and ModifiedResNet"
    known = encoder.fingerprint, 128, encoder.temperature, encoder.preprocessing, facts.local_features
    assert facts == ModelFacts(*known, checksum=encoder.checksum, machine=this_machine("cpu"))
    assert isinstance(facts.preprocessing, Preprocessing)


def pictures(shard: Shard, preprocessing: Preprocessing) -> torch.Tensor:
    """The pictures of a shard that can be read."""
    found = (decode(record, Decoder(preprocessing)).pixels for record in records(shard, Read(), {}))
    return torch.from_numpy(np.stack([pixels for pixels in found if pixels is not None]))


@pytest.fixture(scope="module")
def folder(dataset: Path) -> Shard:
    """Thirty pictures, three of them bad."""
    return plan_images([str(dataset / "folder")], Read(), {}).shards[0]


def encoded_rows(spec: EncodeSpec, output: Directory, shard: Shard) -> pa.Table:
    EncodeShards(spec, Committer(output, "f")).commit([shard])
    return read_table(output, shard_file(SCORES, shard.id))


@pytest.mark.parametrize(("prompts", "templates"), [({}, CSP.noun), ({"noun": [*NEGLABEL.noun]}, NEGLABEL.noun)])
def test_negrefine_encodes_its_pairs_under_the_banks_noun_prompts(
    bank: LabelBank, folder: Shard, facts: ModelFacts, output: Directory, prompts: dict, templates: tuple[str, ...]
) -> None:
    bank = replace(bank, info=replace(bank.info, prompts=prompts))
    methods: dict[str, ImageMethod] = {"negrefine": NegRefine(top_k=3)}
    rows = encoded_rows(spec_of(facts, bank, methods=methods), output, folder)
    encoder = BUNDLED.load()
    score = ImageScorer(bank, methods, encode=lambda words: encoder.encode_ensembles(templates, words))
    expected = score(encoder.encode_images(pictures(folder, facts.preprocessing))).scores["negrefine"]
    assert rows["score_negrefine"].drop_null().to_pylist() == expected.tolist()
    assert len(expected) == 27


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """A tiny vision transformer, which has local features."""
    return ModelSpec(write_model(tmp_path_factory.mktemp("model") / "clip", "clip"))


def test_gl_mcm_is_given_the_places_of_each_image(folder: Shard, transformer: ModelSpec, output: Directory) -> None:
    encoder, facts = transformer.load(), describe(transformer)
    assert isinstance(facts, ModelFacts)
    assert facts.local_features is None
    texts = ["cat", "dog", "hammer"]
    bank = LabelBank(texts, ["noun"] * 3, 2, encoder.encode_texts(texts).numpy(), np.full(3, np.nan), [None] * 3)
    methods: dict[str, ImageMethod] = {"gl-mcm": GLMCM(), "mcm": MCM()}
    rows = encoded_rows(spec_of(facts, bank, methods=methods, model=transformer), output, folder)
    expected = ImageScorer(bank, methods)(*encoder.encode_images_locally(pictures(folder, facts.preprocessing))).scores
    assert rows["score_gl_mcm"].drop_null().to_pylist() == expected["gl-mcm"].tolist()
    assert rows["score_mcm"].drop_null().to_pylist() == expected["mcm"].tolist()
