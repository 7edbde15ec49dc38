"""Local features against METHODS.md §2 written out from the weights, in float64."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ood_core.encoders import ClipEncoder, ModelError
from ood_core.local_features import local_features_problem

TRANSFORMERS = ["clip", "custom text", "layer scale", "custom block", "average of places"]


@pytest.fixture(scope="module", params=[*TRANSFORMERS, "resnet"])
def encoder(request, tiny_model):
    return ClipEncoder.load(tiny_model(request.param), image_block=4)


def pixels(encoder: ClipEncoder, count: int) -> torch.Tensor:
    shape = (count, *encoder.preprocessing.size, 3)
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def image_tower(encoder: ClipEncoder) -> Any:
    return encoder.model.get_submodule("visual")


def normalised_inputs(encoder: ClipEncoder, images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).double() for values in (encoder.preprocessing.mean, encoder.preprocessing.std))
    return ((images.double() / 255 - mean) / std).permute(0, 3, 1, 2)


def layer_norm(values: torch.Tensor, weights: dict, name: str) -> torch.Tensor:
    centred = values - values.mean(dim=-1, keepdim=True)
    scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(values: torch.Tensor, weights: dict, name: str) -> torch.Tensor:
    return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def one_layer_transformer(weights: dict, inputs: torch.Tensor) -> torch.Tensor:
    """§2 for a vision transformer of one block: nothing comes before the last one but the embedding of patches."""
    width, _, patch, _ = weights["conv1.weight"].shape
    count = len(inputs)
    cut = (
        inputs.unfold(2, patch, patch)
        .unfold(3, patch, patch)
        .permute(0, 2, 3, 1, 4, 5)
        .reshape(count, -1, 3 * patch**2)
    )
    x = cut @ weights["conv1.weight"].reshape(width, -1).T + weights["positional_embedding"][1:]
    x = layer_norm(x, weights, "ln_pre")
    block = "transformer.resblocks.0"
    value_weight, value_bias = (weights[f"{block}.attn.in_proj_{kind}"][2 * width :] for kind in ("weight", "bias"))
    value = layer_norm(x, weights, f"{block}.ln_1") @ value_weight.T + value_bias
    x = x + linear(value, weights, f"{block}.attn.out_proj")
    hidden = F.gelu(linear(layer_norm(x, weights, f"{block}.ln_2"), weights, f"{block}.mlp.c_fc"))
    x = x + linear(hidden, weights, f"{block}.mlp.c_proj")
    return layer_norm(x, weights, "ln_post") @ weights["proj"]


def test_a_transformers_places_are_the_value_projections_of_its_last_block(tiny_model):
    encoder = ClipEncoder.load(tiny_model("clip"), image_block=4)
    images = pixels(encoder, 3)
    weights = {name: weight.double() for name, weight in image_tower(encoder).state_dict().items()}
    expected = F.normalize(one_layer_transformer(weights, normalised_inputs(encoder, images)), dim=2)
    torch.testing.assert_close(encoder.encode_images_locally(images)[1].double(), expected, rtol=0, atol=1e-5)


def test_layer_scale_counts_and_only_the_last_block_does_not_mix(tiny_model):
    encoder = ClipEncoder.load(tiny_model("layer scale"), image_block=4)
    images = pixels(encoder, 4)
    visual = image_tower(encoder)
    first, last = visual.transformer.resblocks
    with torch.no_grad():
        x = first(visual._embeds(normalised_inputs(encoder, images).float()))
        value = F.linear(last.ln_1(x), last.attn.in_proj_weight[128:], last.attn.in_proj_bias[128:])
        x = x + last.ls_1.gamma * last.attn.out_proj(value)
        x = x + last.ls_2.gamma * last.mlp(last.ln_2(x))
        expected = F.normalize(visual.ln_post(x)[:, 1:] @ visual.proj, dim=2)
    torch.testing.assert_close(encoder.encode_images_locally(images)[1], expected, rtol=0, atol=1e-5)


def test_a_resnets_places_are_its_cells_through_the_pools_value_projection(tiny_model):
    encoder = ClipEncoder.load(tiny_model("resnet"), image_block=4)
    images = pixels(encoder, 3)
    visual = image_tower(encoder).double()
    with torch.no_grad():
        x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(normalised_inputs(encoder, images))))))
    visual.float()
    weights = {name: weight.double() for name, weight in visual.attnpool.state_dict().items()}
    expected = torch.stack(
        [
            linear(linear(x[:, :, row, column], weights, "v_proj"), weights, "c_proj")
            for row in (0, 1)
            for column in (0, 1)
        ],
        dim=1,
    )
    found = encoder.encode_images_locally(images)[1]
    torch.testing.assert_close(found.double(), F.normalize(expected, dim=2), rtol=0, atol=1e-5)


def test_where_all_tokens_are_alike_a_place_is_the_image(tiny_model):
    """Attention then mixes like with like, so that leaving it out changes nothing."""
    encoder = ClipEncoder.load(tiny_model("layer scale"), image_block=4)
    visual = image_tower(encoder)
    with torch.no_grad():
        visual.conv1.weight.zero_()
        visual.class_embedding.zero_()
        visual.positional_embedding.copy_(visual.positional_embedding[:1].expand_as(visual.positional_embedding))
    embeddings, local = encoder.encode_images_locally(pixels(encoder, 2))
    torch.testing.assert_close(local, embeddings[:, None].expand_as(local), rtol=0, atol=1e-6)


def test_the_global_embeddings_are_those_of_encode_images(encoder):
    images = pixels(encoder, 7)
    assert torch.equal(encoder.encode_images_locally(images)[0], encoder.encode_images(images))


def test_places_are_unit_vectors_and_those_of_an_image_differ(encoder):
    _, local = encoder.encode_images_locally(pixels(encoder, 3))
    assert local.shape[1] in (16, 4)
    torch.testing.assert_close(local.norm(dim=2), torch.ones(local.shape[:2]), rtol=0, atol=1e-6)
    assert (local[:, 0] - local[:, 1]).norm(dim=1).min() > 1e-3


def test_an_image_has_the_same_places_in_any_company_and_order(encoder):
    images = pixels(encoder, 11)
    _, together = encoder.encode_images_locally(images)
    parts = torch.cat([encoder.encode_images_locally(part)[1] for part in images.split(3)])
    assert torch.equal(together, parts)
    assert torch.equal(together, encoder.encode_images_locally(images.flip(0))[1].flip(0))


def test_no_images_have_no_places_of_the_usual_shape(encoder):
    embeddings, local = encoder.encode_images_locally(pixels(encoder, 0))
    assert embeddings.shape == (0, 24)
    assert local.shape == (0, encoder.encode_images_locally(pixels(encoder, 1))[1].shape[1], 24)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("architecture", ["clip", "custom block", "resnet"])
def test_a_narrow_encoder_sees_nearly_the_same_places(architecture, dtype, tiny_model):
    wide, narrow = (ClipEncoder.load(tiny_model(architecture), dtype=each) for each in ("float32", dtype))
    found, expected = (encoder.encode_images_locally(pixels(encoder, 3))[1] for encoder in (narrow, wide))
    assert found.dtype == torch.float32
    assert F.cosine_similarity(found, expected, dim=2).min() > 0.999


def test_nothing_stays_behind_on_the_model(encoder):
    encoder.encode_images_locally(pixels(encoder, 1))
    assert all(not module._forward_pre_hooks for module in encoder.model.modules())


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("demo", "its image tower is a TimmModel, and local features are defined for"),
        ("coca", "its image tower pools by learned queries"),
    ],
)
def test_a_model_without_local_features_says_so(architecture, reason, demo_model, tiny_model):
    encoder = ClipEncoder.load(demo_model if architecture == "demo" else tiny_model(architecture))
    problem = encoder.local_features_problem()
    assert problem is not None
    assert problem.startswith(reason)
    with pytest.raises(ModelError, match=reason):
        encoder.encode_images_locally(pixels(encoder, 1))


def test_whether_a_model_has_local_features_is_known_without_running_it(encoder):
    assert encoder.local_features_problem() is None
    assert local_features_problem(torch.nn.Linear(2, 2)) is not None
