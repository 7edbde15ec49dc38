"""A label bank by every criterion, end to end on Ray, against the formulas on the same model's embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ood_core.criteria import CRITERIA
from ood_core.encoders import ClipEncoder
from ood_core.labels import LabelBank
from ood_core.vocabulary import superclass_phrase
from pipelines.config.judges import NoJudge
from pipelines.config.labels import LabelsBuild
from pipelines.config.model import Model
from pipelines.label_banks.build import build
from pipelines.label_banks.request import LabelBankRequest
from pipelines.reports.labels.show import show
from pipelines.storage import Directory
from tests.conftest import DEMO, encoded, picture

IDS = ["cat", "dog", "horse"]
NOUNS = [f"{kind} {number}" for number in range(40) for kind in ("hammer", "flag", "stone")]
ADJECTIVES = [f"{kind} {number}" for number in range(10) for kind in ("red", "round")]


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    torch.set_num_threads(1)
    return ClipEncoder.load(f"local-dir:{DEMO / 'model'}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, encoder: ClipEncoder) -> Path:
    place = tmp_path_factory.mktemp("criteria")
    (place / "id.txt").write_text("\n".join(IDS))
    (place / "nouns.txt").write_text("\n".join(["dog", *NOUNS]))
    (place / "adjectives.txt").write_text("\n".join(ADJECTIVES))
    pictures = [picture(seed) for seed in range(200)]
    similar = unit(encoder, "interneg", "id", [*IDS, "hammer"]) @ encoded_by(encoder, pictures).T
    for label, row in zip([*IDS, "hammer"], similar, strict=True):
        (place / "images" / label).mkdir(parents=True)
        for index, chosen in enumerate(np.argsort(-row)[:3]):  # blocks of colour that the model takes for the label
            (place / "images" / label / f"{index}.png").write_bytes(encoded(pictures[chosen]))
    (place / "images" / "cat" / "broken.png").write_bytes(b"no picture")
    return place


def built(place: Path, criterion: str, **more: Any) -> tuple[LabelBank, list[str]]:
    given = {
        "id_labels": str(place / "id.txt"),
        "output": str(place / criterion),
        "corpus": (str(place / "nouns.txt"), f"adjective:{place / 'adjectives.txt'}"),
        "criterion": criterion,
        "judge": NoJudge(),
        "model": Model(name="bundled"),
    }
    config = LabelsBuild.model_validate(given | more)
    said: list[str] = []
    bank = build(LabelBankRequest.prepare(config, {}), say=said.append)
    assert LabelBank.load(place / criterion).to_files() == bank.to_files()
    return bank, said


def unit(encoder: ClipEncoder, criterion: str, part: str, texts: list[str]) -> np.ndarray:
    return encoder.encode_ensembles(getattr(CRITERIA[criterion].prompts, part), texts).numpy()


def encoded_by(encoder: ClipEncoder, pictures: Sequence[Image.Image]) -> np.ndarray:
    pixels = torch.stack([torch.from_numpy(encoder.preprocessing(image).copy()) for image in pictures])
    return encoder.encode_images(pixels).numpy()


def lowest(texts: list[str], scores: np.ndarray, count: int) -> list[str]:
    return [texts[row] for row in np.argsort(np.round(scores, 6), kind="stable")[:count]]


def test_csp(place: Path, encoder: ClipEncoder, ray_session: None) -> None:
    bank, _ = built(place, "csp", fraction=0.25, phrase_seed=3)
    phrases = [superclass_phrase(word, 3) for word in ADJECTIVES]
    ids, expected = unit(encoder, "csp", "id", IDS), []
    for part, texts, count in (("noun", NOUNS, 30), ("adjective", phrases, 5)):
        largest = (unit(encoder, "csp", part, texts) @ ids.T).max(axis=1)
        expected += lowest(texts, np.where(largest > 0.95, 1, largest), count)
    assert bank.texts == [*IDS, *expected]
    assert bank.info.criterion == {"name": "csp", "fraction": 0.25, "phrase_seed": 3}
    assert bank.info.counts["candidates_noun"] == len(NOUNS)  # "dog" is a label
    np.testing.assert_array_equal(bank.embeddings[3:33], unit(encoder, "csp", "noun", expected[:30]))


def test_density(place: Path, encoder: ClipEncoder, ray_session: None) -> None:
    bank, _ = built(place, "density", neighbours=7)
    expected = []
    for part, texts, count in (("noun", ["dog", *NOUNS], int(121 * 0.23)), ("adjective", ADJECTIVES, int(20 * 0.13))):
        templates = getattr(CRITERIA["density"].prompts, part)
        raw = encoder.encode_ensembles(templates, texts, normalize=False).numpy().astype(np.float64)
        lengths = np.linalg.norm(raw, axis=1)
        directions = raw / lengths[:, None]
        distances = np.sort(lengths[:, None] + lengths - 2 * directions @ directions.T, axis=1)
        expected += lowest(texts, np.log(distances[:, :8]).mean(axis=1), count)
    assert bank.texts == [*IDS, *expected]
    assert bank.info.criterion == {"name": "density", "fraction": 0.23, "adjective_fraction": 0.13, "neighbours": 7}


def test_the_whole_corpus(place: Path, encoder: ClipEncoder, ray_session: None) -> None:
    bank, said = built(place, "none")
    assert bank.texts == [*IDS, "dog", *NOUNS, *ADJECTIVES]
    assert bank.parts[3:] == ["noun"] * 121 + ["adjective"] * 20
    assert np.isnan(bank.selection_scores).all()
    assert bank.verdicts == [None] * 144
    for part, texts, rows in (
        ("id", IDS, slice(3)),
        ("noun", NOUNS, slice(4, 124)),
        ("adjective", ADJECTIVES, slice(124, 144)),
    ):
        np.testing.assert_array_equal(bank.embeddings[rows], unit(encoder, "none", part, texts))
    assert bank.info.criterion == {"name": "none"}
    assert bank.info.judge == {"name": "none"}
    assert bank.info.holds_whole_corpus
    assert bank.info.counts == {
        "id_labels": 3,
        "candidates_noun": 121,
        "candidates_adjective": 20,
        "kept_noun": 121,
        "kept_adjective": 20,
    }
    assert [line.split(",")[0] for line in said if " of " in line] == [
        "121 of 141 kept candidates encoded",
        "141 of 141 kept candidates encoded",
    ]


def test_a_judge_may_go_through_the_whole_corpus(place: Path, ray_session: None) -> None:
    bank, _ = built(place, "none", judge={"name": "wordnet"}, output=str(place / "none"))
    assert bank.texts == [*IDS, *NOUNS, *ADJECTIVES]
    assert bank.verdicts[3:] == ["kept"] * 140
    decisions = pq.read_table(place / "none" / "decisions.parquet")
    assert decisions["selection_score"].null_count == 141
    assert decisions.filter(pc.field("decision") == "same")["negative"].to_pylist() == ["dog"]
    assert show(Directory(str(place / "none"))).to_json()["steps"]["kept-by-criterion"] == {
        "noun": 121,
        "adjective": 20,
    }


def test_interneg(place: Path, encoder: ClipEncoder, ray_session: None) -> None:
    bank, said = built(place, "interneg", negatives=12, id_images=(str(place / "images"),))
    means = []
    for label in IDS:
        pictures = [Image.open(place / "images" / label / f"{index}.png") for index in range(3)]
        mean = encoded_by(encoder, pictures).astype(np.float64).mean(axis=0)
        means.append(mean / np.linalg.norm(mean))
    assert bank.image_embeddings is not None
    np.testing.assert_allclose(bank.image_embeddings, means, atol=1e-6)
    own = (unit(encoder, "interneg", "id", IDS) * means).sum(axis=1)
    above = {
        part: unit(encoder, "interneg", part, texts) @ np.transpose(means) - own
        for part, texts in (("noun", NOUNS), ("adjective", ADJECTIVES))  # "dog" is a label, and has no margin
    }
    survivors = {part: int((rows < 0).all(axis=1).sum()) for part, rows in above.items()}
    assert {part: bank.info.counts.get(f"surviving_{part}", 0) for part in above} == survivors
    adjectives = min(12, sum(survivors.values())) * survivors["adjective"] // sum(survivors.values())
    assert bank.parts[3:].count("adjective") == adjectives
    assert bank.negative_count == min(12, sum(survivors.values()))
    assert (np.diff(bank.selection_scores[3:][np.array(bank.parts[3:]) == "noun"]) >= 0).all()
    assert bank.info.criterion["id_images"] == "labelled"
    assert (bank.info.criterion["images"], bank.info.criterion["unreadable"]) == (9, 1)
    assert "--id-images: 3 images are left out, of 1 labels that are no ID label: 'hammer'" in said


def test_interneg_without_labelled_images_takes_those_that_are_surely_of_a_label(
    place: Path, encoder: ClipEncoder, tmp_path: Path, ray_session: None
) -> None:
    ids = unit(encoder, "interneg", "id", IDS)
    near = np.repeat(ids[:2], 5, axis=0) + 0.3 * np.random.default_rng(0).normal(size=(10, ids.shape[1])) / 11.3
    near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    table = pa.table({"key": [f"image {row}" for row in range(10)], "embedding": [row.tolist() for row in near]})
    pq.write_table(table, tmp_path / "embeddings.parquet")
    bank, _ = built(place, "interneg", negatives=12, unlabelled_images=(str(tmp_path / "embeddings.parquet"),))
    means = near.astype(np.float64).reshape(2, 5, -1).mean(axis=1)
    assert bank.image_embeddings is not None
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(bank.image_embeddings[:2], expected, atol=1e-6)
    assert not bank.image_embeddings[2].any()  # nothing is a horse
    described = {"id_images": "unlabelled images", "images": 10, "labels_without_images": 1}
    assert {name: bank.info.criterion[name] for name in described} == described
    own = (ids[:2] * bank.image_embeddings[:2]).sum(axis=1)
    assert (bank.embeddings[3:] @ bank.image_embeddings[:2].T < own).all()
