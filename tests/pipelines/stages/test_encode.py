"""The encoding actors as plain objects, without Ray."""

from pathlib import Path

import pyarrow as pa
import pytest

from ood_core.encoders import ClipEncoder, ModelError
from ood_core.labels import LabelBank
from ood_core.methods import MCM, NegLabel
from ood_core.preprocessing import Preprocessing
from pipelines.config import Read
from pipelines.plan import plan
from pipelines.stages.decode import END_OF_SHARD, DecodeShards
from pipelines.stages.encode import EncodeImages, ModelFacts, ModelSpec, ScoreSpec, describe
from tests.conftest import DEMO

BUNDLED = ModelSpec("bundled")


@pytest.fixture(scope="module")
def facts() -> ModelFacts:
    found = describe(BUNDLED)
    assert isinstance(found, ModelFacts)
    return found


@pytest.fixture(scope="module")
def decoded(dataset: Path, facts: ModelFacts) -> pa.Table:
    """The folder's thirty pictures, three of them bad, and the row that ends the shard."""
    shard = plan([str(dataset / "folder")], Read(), {}).shards[0]
    return pa.concat_tables(DecodeShards(Read(), facts.preprocessing, {}).tables(shard))


@pytest.fixture(scope="module")
def encode(bank_directory: Path) -> EncodeImages:
    bank = LabelBank.load(bank_directory)
    return EncodeImages(BUNDLED, ScoreSpec(bank, {"neglabel": NegLabel(), "mcm": MCM()}, embeddings=True))


def test_rows_without_a_picture_pass_through_with_nulls(encode: EncodeImages, decoded: pa.Table) -> None:
    rows = encode(decoded)
    statuses = rows["status"].to_pylist()
    assert statuses.count("ok") == 27
    assert statuses[-1] == END_OF_SHARD
    for name in ("id_label", "id_probability", "negative_label", "score_neglabel", "score_mcm", "embedding"):
        assert [value is None for value in rows[name].to_pylist()] == [status != "ok" for status in statuses]


def test_a_row_is_the_same_in_any_batch(encode: EncodeImages, decoded: pa.Table) -> None:
    whole = encode(decoded).select(["key", "score_neglabel", "score_mcm", "embedding"])
    parts = [encode(decoded.slice(start, 7)).select(whole.column_names) for start in range(0, len(decoded), 7)]
    assert pa.concat_tables(parts).to_pylist() == whole.to_pylist()


def test_a_batch_of_bad_rows_only_needs_no_encoding(encode: EncodeImages, decoded: pa.Table) -> None:
    bad = decoded.slice(3, 1)
    assert bad["status"].to_pylist() == ["empty-file"]
    assert encode(bad)["score_neglabel"].to_pylist() == [None]


def test_other_weights_than_the_scan_was_begun_with_are_refused() -> None:
    with pytest.raises(ModelError, match="has other weights on this worker"):
        ModelSpec("bundled", weights="0" * 64).load()


def test_a_model_is_described_without_raising() -> None:
    assert (
        describe(ModelSpec("local-dir:/nowhere")) == "Directory specified via 'local-dir:' schema not found: /nowhere"
    )


def test_a_models_facts_are_those_of_its_encoder(facts: ModelFacts) -> None:
    encoder = ClipEncoder.load(f"local-dir:{DEMO / 'model'}")
    assert facts == ModelFacts(encoder.fingerprint, 128, encoder.temperature, encoder.preprocessing)
    assert isinstance(facts.preprocessing, Preprocessing)
