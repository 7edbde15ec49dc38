import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch._inductor import config as inductor

from ood_core.encoders import ClipEncoder, ModelError
from ood_core.weights import weight_checksum

ARCHITECTURES = ["demo", "clip", "custom text", "end of text by id", "not causal", "last token", "coca", "resnet"]
TEXTS = [
    "",
    "a",
    "a dog",
    "Größe: 12 × 7 😀",
    *(" ".join(["cat dog"] * pairs) for pairs in (2, 3, 4, 7, 11, 20, 33, 37)),
]
TEXTS += [" ".join(["cat"] * words) for words in (5, 6, 7, 13, 14, 15, 73, 74, 75, 76, 200)]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def name(request, demo_model, tiny_model):
    return demo_model if request.param == "demo" else tiny_model(request.param)


@pytest.fixture(scope="module")
def encoder(name):
    return ClipEncoder.load(name)


def by_open_clip(name: str, precision: str = "fp32") -> tuple[Any, Any, Any]:
    """OpenCLIP's own model, preprocess and tokenizer."""
    loaded: Any = open_clip.create_model_from_pretrained(name, precision=precision)
    return loaded[0].eval(), loaded[1], open_clip.get_tokenizer(name)


@pytest.fixture
def narrow(name):
    """An encoder in bfloat16."""
    if "coca" in name:
        pytest.skip("OpenCLIP's own CoCa does not run in bfloat16: its poolers' queries stay float32")
    return ClipEncoder.load(name, dtype="bfloat16")


@pytest.fixture(scope="module")
def reference(name):
    return by_open_clip(name)


@pytest.fixture(scope="module")
def clip(tiny_model):
    return ClipEncoder.load(tiny_model("clip"))


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(40 + 7 * index, 90 - 5 * index) for index in range(count)]
    return [Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


def pixels(encoder: ClipEncoder, count: int, seed: int = 0) -> torch.Tensor:
    shape = (count, *encoder.preprocessing.size, 3)
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


# Every architecture


@torch.inference_mode()
def test_images_equal_open_clips_own_encoding(encoder, reference):
    model, preprocess, _ = reference
    inputs = torch.stack([preprocess(picture) for picture in pictures(5)])
    prepared = torch.stack([torch.from_numpy(encoder.preprocessing(picture).copy()) for picture in pictures(5)])
    expected = F.normalize(model.encode_image(inputs), dim=1)
    torch.testing.assert_close(encoder.encode_images(prepared), expected, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_texts_of_every_length_equal_open_clips_own_encoding_at_full_context(encoder, reference):
    model, _, tokenizer = reference
    expected = F.normalize(model.encode_text(tokenizer(TEXTS)), dim=1)
    torch.testing.assert_close(encoder.encode_texts(TEXTS), expected, rtol=0, atol=1e-5)


def test_a_text_is_the_same_to_the_last_bit_in_any_company(encoder):
    together = encoder.encode_texts(TEXTS)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(TEXTS)))
    assert torch.equal(encoder.encode_texts([TEXTS[place] for place in order]), together[order])
    for place in (1, 7, 22):
        assert torch.equal(encoder.encode_texts([TEXTS[place]])[0], together[place])
    crowd = [f"the {number} {'x ' * (number % 5)}" for number in range(300)]  # more than one block
    assert torch.equal(encoder.encode_texts([*crowd, *TEXTS])[300:], together)


def test_an_image_is_the_same_to_the_last_bit_in_any_company(encoder):
    images = pixels(encoder, 40)  # a block and a part of one
    together = encoder.encode_images(images)
    order = torch.from_numpy(np.random.default_rng(0).permutation(40))
    assert torch.equal(encoder.encode_images(images[order]), together[order])
    assert torch.equal(torch.cat([encoder.encode_images(part) for part in images.split(7)]), together)
    assert torch.equal(encoder.encode_images(torch.cat([pixels(encoder, 3, seed=1), images]))[3:], together)


def test_embeddings_are_float32_of_unit_norm(encoder):
    for embeddings in (encoder.encode_images(pixels(encoder, 3)), encoder.encode_texts(["a dog", "a cat", "it"])):
        assert embeddings.shape == (3, encoder.dim)
        assert embeddings.dtype == torch.float32
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3), rtol=0, atol=1e-6)


def test_nothing_in_gives_nothing_out(encoder):
    assert encoder.encode_images(pixels(encoder, 0)).shape == (0, encoder.dim)
    assert encoder.encode_texts([]).shape == (0, encoder.dim)
    assert encoder.encode_ensembles(["a {}", "the {}"], []).shape == (0, encoder.dim)


def test_the_temperature_is_the_inverse_of_the_logit_scale(encoder, reference):
    assert encoder.temperature == pytest.approx(1 / reference[0].logit_scale.exp().item(), rel=1e-6)


def test_encoding_changes_neither_its_input_nor_the_global_generator(encoder):
    images, state = pixels(encoder, 3), torch.get_rng_state()
    encoder.encode_images(images)
    encoder.encode_texts(["a dog"])
    assert torch.equal(images, pixels(encoder, 3))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_narrow_row_is_the_same_to_the_last_bit_in_any_company_and_on_two_threads(narrow):
    images = pixels(narrow, 40)
    together, texts = narrow.encode_images(images), narrow.encode_texts(TEXTS)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            assert torch.equal(narrow.encode_images(images.flip(0)).flip(0), together)
            assert torch.equal(torch.cat([narrow.encode_images(part) for part in images.split(7)]), together)
            assert torch.equal(narrow.encode_texts(TEXTS[::-1]).flip(0), texts)
        finally:
            torch.set_num_threads(1)


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_are_the_same_to_the_last_bit_on_one_thread_and_on_two(clip, threads):
    images, texts = pixels(clip, 40), TEXTS
    expected = clip.encode_images(images), clip.encode_texts(texts)
    torch.set_num_threads(threads)
    try:
        assert torch.equal(torch.cat([clip.encode_images(part) for part in images.split(7)]), expected[0])
        assert torch.equal(clip.encode_texts(texts[::-1]).flip(0), expected[1])
    finally:
        torch.set_num_threads(1)


# Ensembles


@torch.inference_mode()
def test_an_ensemble_is_the_mean_of_the_models_outputs_before_any_normalisation(clip, tiny_model):
    model, _, tokenizer = by_open_clip(tiny_model("clip"))
    outputs = model.encode_text(tokenizer(["a photo of dog", "dog", "a photo of {}", "{}"]))
    assert abs(outputs[0].norm() / outputs[1].norm() - 1) > 1e-3  # else the order would not matter
    expected = F.normalize(torch.stack([outputs[:2].mean(dim=0), outputs[2:].mean(dim=0)]), dim=1)
    found = clip.encode_ensembles(["a photo of {}", "{}"], ["dog", "{}"])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_mean_may_be_left_at_the_models_own_length(clip):
    raw = clip.encode_ensembles(["a photo of {}", "{}"], ["dog", "cat"], normalize=False)
    assert not torch.allclose(raw.norm(dim=1), torch.ones(2), atol=1e-2)
    assert torch.equal(F.normalize(raw, dim=1), clip.encode_ensembles(["a photo of {}", "{}"], ["dog", "cat"]))


def test_a_text_that_occurs_often_is_encoded_once(clip):
    asked = []

    def tokenizer(texts):
        asked.extend(texts)
        return clip.tokenizer(texts)

    recording = ClipEncoder(clip.model, tokenizer, clip.fingerprint)
    found = recording.encode_ensembles(["{}", "the {}"], ["the dog", "dog", "dog", "the dog"])
    assert asked == ["the dog", "the the dog", "dog"]
    assert torch.equal(found, clip.encode_ensembles(["{}", "the {}"], ["the dog", "dog", "dog", "the dog"]))


# Fixed shapes


def shapes_seen(module: torch.nn.Module) -> list[tuple[int, ...]]:
    seen = []
    module.register_forward_hook(lambda _module, inputs, _output: seen.append(tuple(inputs[0].shape)))
    return seen


def test_each_text_runs_at_the_shortest_context_that_holds_it(tiny_model):
    encoder = ClipEncoder.load(tiny_model("clip"))
    seen = shapes_seen(encoder.model.get_submodule("token_embedding"))
    encoder.encode_texts([" ".join(["cat"] * words) for words in (1, 6, 7, 14, 15, 75, 200)])  # and start and end
    assert seen == [(32, 4), (32, 8), (32, 10), (32, 16), (32, 18), (32, 77)]


def test_images_run_in_blocks_of_one_shape(tiny_model):
    encoder = ClipEncoder.load(tiny_model("clip"), image_block=4)
    seen = shapes_seen(encoder.model.get_submodule("visual"))
    encoder.encode_images(pixels(encoder, 9))
    assert seen == [(4, 3, 32, 32)] * 3


# Precision and fingerprint


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("architecture", ["demo", "clip", "custom text"])
def test_a_narrow_encoder_agrees_with_float32_and_has_its_fingerprint(architecture, dtype, demo_model, tiny_model):
    name = demo_model if architecture == "demo" else tiny_model(architecture)
    wide, narrow = ClipEncoder.load(name), ClipEncoder.load(name, dtype=dtype)
    assert narrow.fingerprint == wide.fingerprint
    assert narrow.temperature == pytest.approx(wide.temperature, rel=1e-2)
    texts, images = ["a dog", "a cat " * 20], pixels(wide, 5)
    for found, expected in (
        (narrow.encode_texts(texts), wide.encode_texts(texts)),
        (narrow.encode_images(images), wide.encode_images(images)),
    ):
        assert found.dtype == torch.float32
        assert F.cosine_similarity(found, expected).min() > 0.999
        torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dtype", "precision"), [("bfloat16", "bf16"), ("float16", "fp16")])
def test_narrowed_weights_are_open_clips_own_to_the_last_bit(name, dtype, precision):
    encoder, (expected, _, _) = ClipEncoder.load(name, dtype=dtype), by_open_clip(name, precision)
    found, own = dict(encoder.model.named_modules()), dict(expected.named_modules())
    assert {name: type(module) for name, module in found.items()} == {n: type(module) for n, module in own.items()}
    for tensors in ("named_parameters", "named_buffers"):
        narrowed, wanted = dict(getattr(encoder.model, tensors)()), dict(getattr(expected, tensors)())
        assert {name: tensor.dtype for name, tensor in narrowed.items()} == {n: t.dtype for n, t in wanted.items()}
        for name, tensor in narrowed.items():  # CoCa has weights that OpenCLIP leaves as memory was, NaN among them
            torch.testing.assert_close(tensor, wanted[name], rtol=0, atol=0, equal_nan=True)
    assert encoder.dtype == getattr(torch, dtype)


@torch.inference_mode()
def test_a_narrow_encoder_gives_the_bits_of_open_clips_own(name, narrow):
    own = ClipEncoder(by_open_clip(name, "bf16")[0], narrow.tokenizer, "OpenCLIP's own")
    own.dtype = torch.bfloat16
    images = pixels(narrow, 16)
    assert torch.equal(narrow.encode_images(images), own.encode_images(images))
    assert torch.equal(narrow.encode_texts(TEXTS), own.encode_texts(TEXTS))


def test_a_fingerprint_that_is_given_is_not_computed(tiny_model):
    known, given = (ClipEncoder.load(tiny_model("clip"), fingerprint=given) for given in (None, "as told"))
    assert given.fingerprint == "as told"
    assert given.checksum == known.checksum


@pytest.mark.parametrize("architecture", ["demo", "clip"])
def test_the_checksum_sees_the_smallest_change_of_any_weight(architecture, demo_model, tiny_model):
    encoder = ClipEncoder.load(demo_model if architecture == "demo" else tiny_model(architecture))
    rng = np.random.default_rng(0)
    for name, tensor in encoder.model.state_dict().items():
        flat = tensor.view(-1) if tensor.is_contiguous() else tensor.permute(0, 2, 3, 1).reshape(-1)
        place = int(rng.integers(len(flat)))
        before = flat[place].clone()
        flat[place] = torch.nextafter(before, before + 1) if before.is_floating_point() else before + 1
        assert weight_checksum(encoder.model) != encoder.checksum, f"{name}[{place}]"
        flat[place] = before
    assert weight_checksum(encoder.model) == encoder.checksum


def test_the_checksum_sees_rows_and_weights_that_change_places():
    layer = torch.nn.Linear(1024, 8)
    before = weight_checksum(layer)
    with torch.no_grad():
        layer.weight[[0, 1]] = layer.weight[[1, 0]]
        exchanged = weight_checksum(layer)
        layer.weight[[0, 1]] = layer.weight[[1, 0]]
        layer.weight[:, [0, 5]] = layer.weight[:, [5, 0]]
    assert len({before, exchanged, weight_checksum(layer)}) == 3


def test_the_fingerprint_is_of_the_weights(tiny_model, tmp_path):
    fingerprint = ClipEncoder.load(tiny_model("clip")).fingerprint
    elsewhere = shutil.copytree(tiny_model("clip").removeprefix("local-dir:"), tmp_path / "elsewhere")
    assert ClipEncoder.load(f"local-dir:{elsewhere}").fingerprint == fingerprint
    assert ClipEncoder.load(tiny_model("clip", seed=1)).fingerprint != fingerprint
    assert len(fingerprint) == 64


# Compiled


def test_a_compiled_encoder_agrees_with_a_plain_one_and_with_itself_in_any_company(tiny_model):
    encoder = ClipEncoder.load(tiny_model("clip"))
    images = pixels(encoder, 40)
    plain = encoder.encode_images(images)
    encoder.compile()
    together = encoder.encode_images(images)
    torch.testing.assert_close(together, plain, rtol=0, atol=1e-5)
    assert not torch.equal(together, plain)  # else nothing was compiled
    assert torch.equal(torch.cat([encoder.encode_images(part) for part in images.split(7)]), together)


def test_a_model_that_does_not_compile_is_refused_in_one_line(tiny_model):
    encoder = ClipEncoder.load(tiny_model("clip"))
    encoder.compile()
    torch._dynamo.reset()  # it may have been compiled before
    with (
        inductor.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(ModelError, match="the model cannot be compiled: .*no-such-compiler") as refused,
    ):
        encoder.encode_images(pixels(encoder, 3))
    assert len(str(refused.value).splitlines()) == 1


# The caller's mistakes


def without_config(directory: Path) -> None:
    (directory / "open_clip_config.json").unlink()


def with_broken_config(directory: Path) -> None:
    (directory / "open_clip_config.json").write_text("{")


def without_weights(directory: Path) -> None:
    (directory / "open_clip_model.safetensors").unlink()


def with_cut_weights(directory: Path) -> None:
    weights = directory / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def with_another_shape(directory: Path) -> None:
    path = directory / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["embed_dim"] = 48
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (shutil.rmtree, "Directory specified via 'local-dir:' schema not found"),
        (without_config, "config file missing"),
        (with_broken_config, "Could not load valid config"),
        (without_weights, "Required pretrained weights .* could not be loaded"),
        (with_cut_weights, "."),
        (with_another_shape, "size mismatch for "),
    ],
)
def test_a_model_folder_that_cannot_be_loaded_is_refused_in_one_line(tiny_model, tmp_path, spoil, reason):
    directory = shutil.copytree(tiny_model("clip").removeprefix("local-dir:"), tmp_path / "model")
    spoil(directory)
    with pytest.raises(ModelError, match=reason) as refused:
        ClipEncoder.load(f"local-dir:{directory}")
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) <= 300


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"model": "ViT-Z-99"}, "Model config for 'ViT-Z-99' not found"),
        ({"model": "ViT-B-32", "pretrained": "nobody"}, "'nobody' is not a known tag or valid file path"),
        ({"model": "local-dir:"}, "Empty path"),
        ({"model": "ViT-B-16-SigLIP"}, r"its tokenizer is one of transformers: install oodscan\[transformers\]"),
        ({"model": "ViT-B-32", "dtype": "float8"}, "dtype must be one of float32, bfloat16, float16, not 'float8'"),
    ],
)
def test_a_model_that_does_not_exist_is_refused_in_one_line(arguments, reason, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=reason) as refused:
        ClipEncoder.load(**arguments)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) <= 300
