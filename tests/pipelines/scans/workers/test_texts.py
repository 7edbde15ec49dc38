from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.labels import BankInfo, LabelBank
from ood_core.methods import InterNeg, Method, NegRefine
from ood_core.preprocessing import Preprocessing
from pipelines.config.methods import method_parameters
from pipelines.config.model import Model
from pipelines.config.rescore import Rescore
from pipelines.errors import CallerError
from pipelines.runtime.model import ModelFacts, ModelSpec
from pipelines.scans.checks import TextSource, check_inversion, text_source
from pipelines.scans.workers.texts import Texts, read_content, text_embeddings

EMBEDDING = [[0.6, 0.8, 0.0]]


def bank(model: str | None = None) -> LabelBank:
    labels = np.eye(3, dtype=np.float32)
    info = BankInfo(model=model, pretrained="tag" if model else None)
    return LabelBank(["cat", "car", "flag"], ["noun"] * 3, 1, labels, np.full(3, np.nan), [None] * 3, info)


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    texts = {"text": ["cat and car", "cat and flag"], "embedding": EMBEDDING * 2}
    pq.write_table(pa.table(texts), tmp_path / "pairs.parquet")
    return str(tmp_path / "pairs.parquet")


def asked(*methods: str, table: str | None = None, model: str | None = None, of_bank: str | None = None) -> TextSource:
    config = Rescore(
        embeddings=("e",), labels="bank", output="o", method=methods, model=Model(name=model), text_embeddings=table
    )
    return text_source(config, method_parameters(methods, {}), bank(of_bank), {})


@pytest.mark.parametrize("number", [pa.float16(), pa.float32(), pa.float64()], ids=str)
@pytest.mark.parametrize(
    "lists", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 3)], ids=["list", "large list", "fixed size list"]
)
def test_texts_are_read_from_lists_of_every_kind(tmp_path: Path, lists, number: pa.DataType) -> None:
    table = pa.table({"text": pa.array(["a"], pa.large_string()), "embedding": pa.array(EMBEDDING, lists(number))})
    pq.write_table(table, tmp_path / "t.parquet")
    url = str(tmp_path / "t.parquet")
    (found,) = text_embeddings(read_content(url, {}), url).items()
    assert found[0] == "a"
    assert found[1].dtype == np.float32
    np.testing.assert_allclose(found[1], EMBEDDING[0], atol=1e-3)


def test_stored_texts_are_looked_up_in_the_order_asked_for(pairs: str) -> None:
    encode = Texts(None, pairs, {}).encode("cpu")
    assert encode(["cat and flag", "cat and car", "cat and flag"]).shape == (3, 3)


def test_without_methods_that_need_texts_there_is_no_model(pairs: str) -> None:
    assert asked("mcm", "neglabel", "adaneg", of_bank="ViT-B-32") == TextSource()


def test_the_model_is_the_one_asked_for_or_else_the_banks() -> None:
    assert asked("negrefine", of_bank="ViT-B-32").model == Model(name="ViT-B-32", pretrained="tag")
    assert asked("negrefine", model="mine", of_bank="ViT-B-32").model == Model(name="mine")


def test_a_table_spares_the_model_but_not_to_who_inverts_images(pairs: str) -> None:
    alone = asked("negrefine", table=pairs, of_bank="ViT-B-32")
    assert (alone.model, alone.table) == (None, pairs)
    both = asked("negrefine", "interneg", table=pairs, of_bank="ViT-B-32")
    assert (both.model, both.table) == (Model(name="ViT-B-32", pretrained="tag"), pairs)


def test_workers_that_stand_elsewhere_find_the_table(pairs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(pairs).parent)
    assert asked("negrefine", table="pairs.parquet").table == pairs


def test_another_table_has_another_hash(pairs: str) -> None:
    before = asked("negrefine", table=pairs).table_hash
    pq.write_table(pq.read_table(pairs).take([1, 0]), pairs)
    assert asked("negrefine", table=pairs).table_hash != before


def test_who_inverts_no_images_needs_no_model() -> None:
    config = Rescore(embeddings=("e",), labels="bank", output="o", method=("interneg",))
    without: dict[str, Method] = {"interneg": InterNeg(max_inversions=0)}
    assert text_source(config, without, bank(), {}) == TextSource()
    with pytest.raises(
        CallerError, match="--method interneg needs a text encoder: give --model or --param interneg.max_inversions=0"
    ):
        text_source(config, {"interneg": InterNeg()}, bank(), {})


def test_a_model_that_cannot_invert_images_is_refused_where_that_is_asked_for() -> None:
    facts = ModelFacts("weights", 3, 0.01, Preprocessing((8, 8)), inversion="it has no tokens")
    check_inversion({"interneg": InterNeg(max_inversions=0), "negrefine": NegRefine()}, ModelSpec("m"), facts)
    with pytest.raises(
        CallerError, match="--model 'm' cannot: it has no tokens; give another, or --param interneg.max"
    ):
        check_inversion({"interneg": InterNeg()}, ModelSpec("m"), facts)
