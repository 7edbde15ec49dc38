"""The encoding actors as plain objects, without Ray."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from ood_core.encoders import ClipEncoder, ModelError
from ood_core.labels import LabelBank
from ood_core.methods import GLMCM, MCM, NegLabel, NegRefine
from ood_core.preprocessing import Preprocessing
from ood_core.scores import ImageScorer
from ood_core.vocabulary import CSP, NEGLABEL
from pipelines.config.scan import Read
from pipelines.inputs.image_plan import plan_images
from pipelines.runtime.model import ModelFacts, ModelSpec, describe
from pipelines.scan_directory.columns import END_OF_SHARD
from pipelines.scans.workers.decode import DecodeShards
from pipelines.scans.workers.encode import EncodeImages, ScoreSpec
from tests.conftest import DEMO
from tests.ood_core.conftest import write_model

BUNDLED = ModelSpec("bundled")


@pytest.fixture(scope="module")
def facts() -> ModelFacts:
    found = describe(BUNDLED)
    assert isinstance(found, ModelFacts)
    return found


@pytest.fixture(scope="module")
def decoded(dataset: Path, facts: ModelFacts) -> pa.Table:
    """The folder's thirty pictures, three of them bad, and the row that ends the shard."""
    shard = plan_images([str(dataset / "folder")], Read(), {}).shards[0]
    return pa.concat_tables(DecodeShards(Read(), facts.preprocessing, {}).tables(shard))


@pytest.fixture(scope="module")
def encode(bank_directory: Path) -> EncodeImages:
    bank = LabelBank.load(bank_directory)
    return EncodeImages(BUNDLED, ScoreSpec(bank, {"neglabel": NegLabel(), "mcm": MCM()}, embeddings="float16"))


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
    why_not_local = "its image tower is a TimmModel, and local features are defined for OpenCLIP's VisionTransformer"
    assert facts.local_features == f"{why_not_local} and ModifiedResNet"
    assert facts == ModelFacts(
        encoder.fingerprint, 128, encoder.temperature, encoder.preprocessing, facts.local_features
    )
    assert isinstance(facts.preprocessing, Preprocessing)


def pictures(decoded: pa.Table, size: tuple[int, int]) -> torch.Tensor:
    """The pictures that could be read, one by one."""
    pixels = [
        np.frombuffer(row, np.uint8).reshape(*size, 3) for row in decoded["pixels"].to_pylist() if row is not None
    ]
    return torch.from_numpy(np.stack(pixels))


@pytest.mark.parametrize(("prompts", "templates"), [({}, CSP.noun), ({"noun": [*NEGLABEL.noun]}, NEGLABEL.noun)])
def test_negrefine_encodes_its_pairs_under_the_banks_noun_prompts(
    bank_directory: Path, decoded: pa.Table, facts: ModelFacts, prompts: dict, templates: tuple[str, ...]
) -> None:
    bank = LabelBank.load(bank_directory)
    bank = replace(bank, info=replace(bank.info, prompts=prompts))
    methods = {"negrefine": NegRefine(top_k=3)}
    rows = EncodeImages(BUNDLED, ScoreSpec(bank, methods))(decoded)
    encoder = BUNDLED.load()
    score = ImageScorer(bank, methods, encode=lambda words: encoder.encode_ensembles(templates, words))
    expected = score(encoder.encode_images(pictures(decoded, facts.preprocessing.size))).scores["negrefine"]
    assert rows["score_negrefine"].drop_null().to_pylist() == expected.tolist()
    assert len(expected) == 27


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """A tiny vision transformer, which has local features."""
    return ModelSpec(write_model(tmp_path_factory.mktemp("model") / "clip", "clip"))


def test_gl_mcm_is_given_the_places_of_each_image(dataset: Path, transformer: ModelSpec) -> None:
    encoder = transformer.load()
    facts = describe(transformer)
    assert isinstance(facts, ModelFacts)
    assert facts.local_features is None
    shard = plan_images([str(dataset / "folder")], Read(), {}).shards[0]
    decoded = pa.concat_tables(DecodeShards(Read(), facts.preprocessing, {}).tables(shard))
    texts = ["cat", "dog", "hammer"]
    bank = LabelBank(texts, ["noun"] * 3, 2, encoder.encode_texts(texts).numpy(), np.full(3, np.nan), [None] * 3)
    methods = {"gl-mcm": GLMCM(), "mcm": MCM()}
    encode = EncodeImages(transformer, ScoreSpec(bank, methods, embeddings="float16"))
    rows = encode(decoded)
    images = pictures(decoded, facts.preprocessing.size)
    expected = ImageScorer(bank, methods)(*encoder.encode_images_locally(images)).scores
    assert rows["score_gl_mcm"].drop_null().to_pylist() == expected["gl-mcm"].tolist()
    assert rows["score_mcm"].drop_null().to_pylist() == expected["mcm"].tolist()
    parts = pa.concat_tables([encode(decoded.slice(start, 7)) for start in range(0, len(decoded), 7)])
    assert parts["score_gl_mcm"].to_pylist() == rows["score_gl_mcm"].to_pylist()
    assert encode(decoded.slice(3, 1))["score_gl_mcm"].to_pylist() == [None]
