"""Modality inversion against METHODS.md §8 written out, and what a scan asks of it."""

import hashlib
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F

from ood_core.encoders import ClipEncoder, ModelError
from ood_core.memory.inversion import Inverter

ARCHITECTURES = ["demo", "clip", "custom text", "end of text by id", "not causal", "last token", "coca"]


@pytest.fixture(scope="module")
def load(demo_model, tiny_model):
    def load(architecture: str, **options) -> ClipEncoder:
        return ClipEncoder.load(demo_model if architecture == "demo" else tiny_model(architecture), **options)

    return load


@pytest.fixture(scope="module", params=ARCHITECTURES)
def encoder(request, load):
    return load(request.param)


@pytest.fixture(scope="module")
def clip(load):
    return load("clip")


def images_for(encoder: ClipEncoder, count: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, encoder.dim))).float()
    return F.normalize(drawn, dim=1)


def keys(count: int) -> list[str]:
    return [f"{index:03d}.png" for index in range(count)]


def drawn_for(seed: int, key: str, width: int) -> tuple[str, np.ndarray]:
    """The template filled with the placeholder, and the first pseudo-token."""
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()))
    template = open_clip.OPENAI_IMAGENET_TEMPLATES[generator.integers(80)]
    return template(" $ "), generator.normal(0, 0.02, width).astype(np.float32)


def written_out(encoder: ClipEncoder, image: torch.Tensor, key: str, steps: int) -> torch.Tensor:
    """One image, the whole context, vectors summed by hand, AdamW by hand; `$</w>` is token 259 of CLIP's tokenizer."""
    model: Any = encoder.model
    text, start = drawn_for(0, key, model.token_embedding.embedding_dim)
    tokens = open_clip.tokenize([text])
    place = tokens[0].tolist().index(259)

    def text_embedding(word: torch.Tensor) -> torch.Tensor:
        vectors = model.token_embedding.weight[tokens[0]]
        x = torch.cat([vectors[:place], word[None], vectors[place + 1 :]]) + model.positional_embedding
        x = model.ln_final(model.transformer(x[None], attn_mask=model.attn_mask))
        return F.normalize(x[0, tokens[0].argmax()] @ model.text_projection, dim=0)

    word = torch.from_numpy(start)
    mean, square = torch.zeros_like(word), torch.zeros_like(word)
    for step in range(1, steps + 1):
        (gradient,) = torch.autograd.grad(1 - text_embedding(word.requires_grad_()) @ image, [word])
        word = word.detach() * (1 - 0.02 * 0.01)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        corrected = (square / (1 - 0.999**step)).sqrt() + 1e-8
        word = word - 0.02 * mean / (1 - 0.9**step) / corrected
    return text_embedding(word).detach()


@pytest.mark.parametrize("steps", [0, 1, 10])
def test_an_inverted_image_is_that_of_the_method_written_out(clip, steps):
    images = images_for(clip, 5)
    found = Inverter(clip, steps=steps)(images, keys(5))
    expected = torch.stack([written_out(clip, *pair, steps) for pair in zip(images, keys(5), strict=True)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_words_come_near_their_images(encoder):
    images = images_for(encoder, 20)
    before, after = (Inverter(encoder, steps)(images, keys(20)) for steps in (0, 10))
    gained = F.cosine_similarity(after, images) - F.cosine_similarity(before, images)
    assert gained.mean() > 0.05
    assert gained.min() > 0
    torch.testing.assert_close(after.norm(dim=1), torch.ones(20), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("architecture", ["demo", "clip", "custom text"])
def test_a_narrow_model_inverts_nearly_as_well(load, architecture, dtype):
    wide, narrow = load(architecture), load(architecture, dtype=dtype)
    images = images_for(wide, 8)
    start, word = (Inverter(wide, steps)(images, keys(8)) for steps in (0, 10))
    word_narrow = Inverter(narrow)(images, keys(8))
    assert word_narrow.dtype == torch.float32
    before, after, after_narrow = ((each * images).sum(dim=1).mean() for each in (start, word, word_narrow))
    assert after_narrow - before > 0.9 * (after - before)


def test_the_same_key_gives_the_same_word_to_the_last_bit(clip):
    images = images_for(clip, 3)
    assert torch.equal(Inverter(clip)(images, keys(3)), Inverter(clip)(images, keys(3)))


def test_another_key_or_seed_starts_elsewhere(clip):
    image = images_for(clip, 1).expand(40, -1).contiguous()
    by_key = Inverter(clip, steps=0)(image, keys(40))
    assert len(by_key.unique(dim=0)) == 40
    assert not torch.equal(by_key[:1], Inverter(clip, steps=0, seed=1)(image[:1], keys(1)))


def in_parts(invert: Inverter, images: torch.Tensor, names: list[str]) -> torch.Tensor:
    starts = range(0, len(images), 7)
    return torch.cat([invert(images[start : start + 7], names[start : start + 7]) for start in starts])


def test_an_image_has_the_same_word_in_any_company_and_order(encoder):
    images, names, invert = images_for(encoder, 20), keys(20), Inverter(encoder, steps=3)
    together = invert(images, names)
    assert torch.equal(in_parts(invert, images, names), together)
    assert torch.equal(invert(images.flip(0), names[::-1]).flip(0), together)


def test_an_image_has_the_same_word_on_one_thread_and_on_two(clip):
    images, names, invert = images_for(clip, 20), keys(20), Inverter(clip, steps=3)
    together = invert(images, names)
    torch.set_num_threads(2)
    try:
        assert torch.equal(in_parts(invert, images, names), together)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("architecture", ["demo", "clip", "custom text", "end of text by id"])
def test_the_shortest_context_changes_nothing(load, architecture):
    short, whole = load(architecture), load(architecture)
    whole.text_tower.can_shorten = False
    images = images_for(short, 8)
    assert short.text_tower.can_shorten
    found, expected = (Inverter(encoder)(images, keys(8)) for encoder in (short, whole))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_the_sentences_hold_one_word_each_among_the_tokens_of_an_ordinary_one(clip):
    invert = Inverter(clip)
    assert invert.is_word.sum(dim=1).tolist() == [1] * 80
    ordinary = open_clip.tokenize([template("dog") for template in open_clip.OPENAI_IMAGENET_TEMPLATES])
    assert torch.equal(invert.tokens[~invert.is_word], ordinary[~invert.is_word])


def test_embeddings_of_inference_mode_are_inverted_too(clip):
    images = images_for(clip, 3)
    with torch.inference_mode():
        found = Inverter(clip)(images.clone(), keys(3))
    assert torch.equal(found, Inverter(clip)(images, keys(3)))
    assert not found.requires_grad


def test_inverting_leaves_the_model_and_the_global_generator_as_they_were(clip):
    images, state = images_for(clip, 3), torch.get_rng_state()
    texts = clip.encode_texts(["a $ ."])
    Inverter(clip)(images, keys(3))
    assert torch.equal(clip.encode_texts(["a $ ."]), texts)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, images_for(clip, 3))
    assert all(weight.grad is None for weight in clip.model.parameters())


def test_no_images_give_no_words(clip):
    assert Inverter(clip)(images_for(clip, 0), []).shape == (0, clip.dim)


def test_a_text_tower_without_token_embedding_is_refused(load):
    encoder = load("clip")
    encoder.text_tower.embedding = None
    with pytest.raises(ModelError, match="its text tower, a CLIP, has no token embedding"):
        Inverter(encoder)


def test_a_tokenizer_that_drops_the_placeholder_is_refused(load):
    encoder = load("clip")
    encoder.tokenizer = open_clip.SimpleTokenizer(clean="canonicalize")
    with pytest.raises(ModelError, match="its tokenizer does not spell \\$ with one token"):
        Inverter(encoder)
