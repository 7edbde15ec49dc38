"""What a notebook uses: the names of `ood_core`, pictures to embeddings, embeddings to scores."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ood_core
from ood_core import (
    MCM,
    METHODS,
    ClipEncoder,
    Consensus,
    InterNeg,
    LabelBank,
    MaxCos,
    NegLabel,
    Reference,
    score_dataset,
    score_embeddings,
)
from ood_core.consensus import log_odds
from ood_core.consensus.dataset import Neighbourhood, consensus_of_neighbours
from ood_core.methods import Verdicts
from tests.ood_core.conftest import REPOSITORY
from tests.ood_core.consensus import naive
from tests.ood_core.consensus.naive import part, standard

IMAGES = 40


@pytest.fixture
def bank(bank_of, unit):
    return bank_of(unit(7, 24, seed=1), unit(30, 24, seed=2))


@pytest.fixture
def images(unit):
    return unit(IMAGES, 24, seed=3)


@pytest.fixture
def pictures():
    drawn = np.random.default_rng(0).integers(0, 256, (20, 40, 50, 3), np.uint8)
    return [Image.fromarray(cells) for cells in drawn]


def test_importing_the_library_and_its_methods_loads_no_torch():
    code = "import sys, ood_core, ood_core.methods; dir(ood_core); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", ood_core.__all__)
def test_every_name_of_the_library_can_be_had(name):
    assert name in dir(ood_core)
    assert getattr(ood_core, name) is not None


def test_a_name_that_the_library_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ood_core' has no attribute 'Scorers'"):
        _ = ood_core.Scorers


@pytest.mark.parametrize("package", ["ood_core", "pipelines"])
def test_types_are_shipped(package):
    assert (REPOSITORY / package / "py.typed").exists()
    assert f'"{package}"' in re.findall(r"packages = .*", (REPOSITORY / "pyproject.toml").read_text())[0]


def test_three_lines_go_from_pictures_to_scores(tmp_path, tiny_model, bank_of, unit, pictures):
    bank_of(unit(3, 24, seed=1), unit(9, 24, seed=2)).save(str(tmp_path / "bank"))
    bank, encoder = LabelBank.load(str(tmp_path / "bank")), ClipEncoder.load(tiny_model())
    scores = score_embeddings(bank, encoder.encode_pictures(pictures), methods=("mcm", "neglabel"))
    assert {name: found.shape for name, found in scores.items()} == {"mcm": (20,), "neglabel": (20,)}


def test_pictures_have_the_embeddings_of_their_pixels_to_the_last_bit(tiny_model, pictures):
    encoder = ClipEncoder.load(tiny_model(), image_block=8)
    pixels = torch.from_numpy(np.stack([encoder.preprocessing(picture) for picture in pictures]))
    assert torch.equal(encoder.encode_pictures(iter(pictures)), encoder.encode_images(pixels))
    assert encoder.encode_pictures([]).shape == (0, 24)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("encoder.encode_pictures(['cat.png'])", "pictures must be PIL images, not str"),
        ("encoder.encode_pictures(Image.new('RGB', (9, 9)))", "pictures must be PIL images, and this is one"),
        ("score_embeddings(bank, [[1.0]])", "embeddings must be a NumPy array or a torch tensor, not list"),
    ],
)
def test_what_is_of_another_type_is_refused(tmp_path, tiny_model, bank, call, message):
    """In a process of its own, for here every function's types are checked before its body runs."""
    bank.save(tmp_path)
    lines = [
        "from PIL import Image",
        "from ood_core import ClipEncoder, LabelBank, score_embeddings",
        f"encoder, bank = ClipEncoder.load({tiny_model()!r}), LabelBank.load({str(tmp_path)!r})",
        call,
    ]
    found = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert f"TypeError: {message}" in found.stderr


def test_scores_are_those_of_score_dataset(bank, images):
    methods = {"mcm": MCM(0.1), "adaneg": METHODS["adaneg"](), "consensus": Consensus(base="mcm")}
    keys = [f"image {row}" for row in range(IMAGES)]
    expected = score_dataset(bank, methods, torch.from_numpy(images), keys).scores
    found = score_embeddings(bank, images, methods, keys=keys)
    assert list(found) == list(methods)
    for name, scores in found.items():
        assert scores.dtype == np.float64
        np.testing.assert_array_equal(scores, expected[name])


def test_a_reference_is_taken_in(bank, images):
    methods = {"max-cos": MaxCos(), "reference": Reference(), "consensus": Consensus(base="max-cos")}
    keys = [f"image {row}" for row in range(IMAGES)]
    known = images[::2].copy()
    whole = score_dataset(bank, methods, torch.from_numpy(images), keys, reference=torch.from_numpy(known)).scores
    found = score_embeddings(bank, images, methods, keys=keys, reference=known)
    for name, scores in found.items():
        np.testing.assert_array_equal(scores, whole[name])
    with pytest.raises(ValueError, match="reference image 3 has an embedding of length 2, not 1"):
        known[3] *= 2
        score_embeddings(bank, images, methods, reference=known)


def test_verdicts_are_taken_in(bank, images):
    methods = {"max-cos": MaxCos(), "verdicts": Verdicts(), "consensus": Consensus(base="max-cos")}
    said = {3: 1.0, 17: 0.0, 20: 0.25}
    found = score_embeddings(bank, images, methods, verdicts=said)
    names = [f"{row:09d}" for row in range(IMAGES)]
    base = log_odds(found["max-cos"], MaxCos())
    among = Neighbourhood.of(torch.from_numpy(images), names, Consensus())
    among = among.told(np.array(list(said)), np.array(list(said.values())))
    votes = among.with_log_odds(base)
    rows = part(votes, np.array(list(said)))
    d = naive.verdicts(votes, rows, np.array(list(said.values())), among.anchors, Consensus().reach)
    assert np.abs(d).max() > 0.1
    np.testing.assert_allclose(found["verdicts"], standard(base) + 2 * d, rtol=0, atol=1e-9)
    expected = consensus_of_neighbours(among, base, Consensus(base="max-cos")).score
    np.testing.assert_array_equal(found["consensus"], expected)


def test_verdicts_are_left_out_where_consensus_is_told_so_and_where_there_are_none(bank, images):
    methods = {"mcm": MCM(), "verdicts": Verdicts("mcm"), "consensus": Consensus("mcm")}
    without = score_embeddings(bank, images, methods)
    np.testing.assert_allclose(without["verdicts"], standard(log_odds(without["mcm"], MCM())), rtol=0, atol=1e-9)
    methods["consensus"] = Consensus("mcm", verdicts=False)
    found = score_embeddings(bank, images, methods, verdicts={0: 0.0, 1: 1.0})
    np.testing.assert_array_equal(found["consensus"], without["consensus"])
    assert np.abs(found["verdicts"] - without["verdicts"]).max() > 0.1
    for name, scores in score_embeddings(bank, images, methods, verdicts={}).items():
        np.testing.assert_array_equal(scores, without[name])


@pytest.mark.parametrize("said", [{IMAGES: 1.0}, {-1: 1.0}, {0: 1.5}, {0: 1.0, 2: -0.1}, {2: float("nan")}])
def test_verdicts_that_cannot_be_are_named(bank, images, said):
    image, belongs = list(said.items())[-1]
    message = f"the verdict {belongs} on image {image}: images are 0 to 39, verdicts 0 to 1"
    with pytest.raises(ValueError, match=re.escape(message)):
        score_embeddings(bank, images, ["mcm", "verdicts"], verdicts=said)


def test_arrays_and_tensors_have_the_same_scores(bank, images):
    from_array = score_embeddings(bank, images)["neglabel"]
    from_tensor = score_embeddings(bank, torch.from_numpy(images).requires_grad_())["neglabel"]
    np.testing.assert_array_equal(from_array, from_tensor)


def test_a_text_encoder_serves_the_methods_that_need_one(tiny_model, bank_of, unit):
    encoder = ClipEncoder.load(tiny_model())
    bank = bank_of(unit(3, 24, seed=1), unit(9, 24, seed=2))
    methods = {"negrefine": METHODS["negrefine"](), "interneg": InterNeg(invert_below=0.9, steps=1)}
    found = score_embeddings(bank, unit(5, 24, seed=3), methods, encoder=encoder)
    assert all(np.isfinite(scores).all() for scores in found.values())
    with pytest.raises(ValueError, match="negrefine needs a text encoder"):
        score_embeddings(bank, unit(5, 24, seed=3), ["negrefine"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda given: given[0], ValueError, "embeddings must have the shape [images, 24], not [24]"),
        (lambda given: given[:, :20], ValueError, "embeddings have the dimension 20, and the label bank has 24"),
        (lambda given: given * 2, ValueError, "image 0 has an embedding of length 2, not 1; divide it by its length"),
        (lambda given: given * np.nan, ValueError, "image 0 has an embedding of length nan, not 1"),
        (lambda given: given.astype(np.int64), TypeError, "embeddings must be floats, not int64"),
    ],
)
def test_embeddings_that_cannot_be_scored_are_refused(bank, images, change, error, message):
    with pytest.raises(error, match=re.escape(message)):
        score_embeddings(bank, change(images))


@pytest.mark.parametrize(
    ("methods", "error", "message"),
    [
        (["clip"], ValueError, "method 'clip' is unknown; the methods are mcm, max-cos, gl-mcm, neglabel"),
        ("mcm", TypeError, "methods must be names or a mapping of names to parameters, not the text 'mcm'"),
        ({"mcm": NegLabel()}, TypeError, "the parameters of mcm must be MCM(…), not NegLabel(groups=100)"),
        (["consensus"], ValueError, "consensus goes by the scores of neglabel, which is not among the methods"),
        (["gl-mcm"], ValueError, "gl-mcm needs local features"),
    ],
)
def test_methods_that_cannot_score_are_refused(bank, images, methods, error, message):
    with pytest.raises(error, match=re.escape(message)):
        score_embeddings(bank, images, methods)


def test_keys_are_one_for_each_image(bank, images):
    with pytest.raises(ValueError, match="keys must be 40 names, one for each image and no two the same"):
        score_embeddings(bank, images, keys=["a"] * IMAGES)


def test_a_bank_can_be_kept_at_a_path_or_at_its_name(tmp_path, bank):
    bank.save(tmp_path / "a")
    assert LabelBank.load(str(tmp_path / "a")).to_files() == LabelBank.load(Path(tmp_path / "a")).to_files()
