"""Building a label bank, end to end on Ray."""

from pathlib import Path

import numpy as np
import pytest

from ood_core.encoders import ClipEncoder
from ood_core.labels import LabelBank
from pipelines.config.labels import LabelsBuild
from pipelines.config.model import Model
from pipelines.config.pools import EncodePool
from pipelines.label_banks.build import build
from pipelines.label_banks.request import LabelBankRequest
from tests.conftest import DEMO

NOUNS = [f"noun {number}" for number in range(4200)]  # more than one worker is given at once
ADJECTIVES = [f"adjective {number}" for number in range(20)]


def asked(place: Path, output: str, workers: int = 1) -> LabelsBuild:
    (place / "id.txt").write_text("cat\ndog\nhorse\n")
    (place / "nouns.txt").write_text("\n".join(NOUNS))
    (place / "adjectives.txt").write_text("\n".join(ADJECTIVES))
    return LabelsBuild(
        id_labels=str(place / "id.txt"),
        output=str(place / output),
        corpus=(str(place / "nouns.txt"), f"adjective:{place / 'adjectives.txt'}"),
        model=Model(name="bundled"),
        encode=EncodePool(workers=workers),
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> tuple[Path, LabelBank]:
    place = tmp_path_factory.mktemp("labels")
    return place, build(LabelBankRequest.prepare(asked(place, "bank"), {}))


def test_the_bank_holds_what_the_criterion_keeps(built: tuple[Path, LabelBank]) -> None:
    _, bank = built
    encoder = ClipEncoder.load(f"local-dir:{DEMO / 'model'}")
    ids = encoder.encode_texts(["the nice cat", "the nice dog", "the nice horse"]).numpy()
    assert bank.texts[:3] == ["cat", "dog", "horse"]
    assert bank.parts[3:] == ["noun"] * 630 + ["adjective"] * 3
    for words, template, kept in (
        (NOUNS, "the nice {}", bank.texts[3:633]),
        (ADJECTIVES, "This is a {} photo", bank.texts[633:]),
    ):
        candidates = encoder.encode_ensembles([template], words).numpy()
        scores = np.quantile(candidates.astype(np.float64) @ ids.T, 0.95, axis=1)
        score_of = dict(zip(words, scores, strict=True))
        found = np.array([score_of[word] for word in kept])
        lowest = np.sort(scores)[: len(kept)]
        np.testing.assert_allclose(found, lowest, rtol=0, atol=1e-6)  # as near as sums in another order come
        assert len(set(kept)) == len(kept)


def test_the_bank_says_where_it_came_from(built: tuple[Path, LabelBank]) -> None:
    place, bank = built
    loaded = LabelBank.load(place / "bank")
    assert loaded.info.model == "bundled"
    assert loaded.info.criterion == {"name": "neglabel", "quantile": 0.95, "fraction": 0.15}
    assert loaded.info.counts == {
        "id_labels": 3,
        "candidates_adjective": 20,
        "candidates_noun": 4200,
        "kept_adjective": 3,
        "kept_noun": 630,
        "judged_kept_adjective": 3,
        "judged_kept_noun": 630,
    }
    assert loaded.info.content_hash == bank.content_hash() == loaded.content_hash()


def test_two_workers_build_the_same_bytes_as_one(built: tuple[Path, LabelBank]) -> None:
    place, _ = built
    build(LabelBankRequest.prepare(asked(place, "again", workers=2), {}))
    for name in ("labels.parquet", "bank.json"):
        assert (place / "again" / name).read_bytes() == (place / "bank" / name).read_bytes()
