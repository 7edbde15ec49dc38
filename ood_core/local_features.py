"""Local features: an encoder's features of each place of an image, for GL-MCM (arXiv 2304.04521; METHODS.md §2)."""

import math
from collections.abc import Callable

from jaxtyping import Float
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn


def local_features_problem(visual: nn.Module) -> str | None:
    """The reason why an image tower gives no local features; None if it does."""
    if isinstance(visual, ModifiedResNet):
        return None
    if not isinstance(visual, VisionTransformer):
        known = "OpenCLIP's VisionTransformer and ModifiedResNet"
        return f"its image tower is a {type(visual).__name__}, and local features are defined for {known}"
    if visual.attn_pool is not None or visual.pool_type == "none":
        return "its image tower pools by learned queries, so that no place has an embedding of its own"
    return None


def place_count(visual: nn.Module) -> int:
    """The number of places: patches of a vision transformer, cells of a ResNet's last feature map."""
    if isinstance(visual, ModifiedResNet):
        return visual.attnpool.positional_embedding.shape[0] - 1
    return math.prod(visual.grid_size)  # pyright: ignore


def encode_locally(
    visual: nn.Module, encode: Callable[[Tensor], Tensor], inputs: Float[Tensor, "images 3 height width"]
) -> tuple[Float[Tensor, "images dim"], Float[Tensor, "images places dim"]]:
    """Image embeddings (`encode(inputs)`) and features of every place from the same pass; neither normalised."""
    last = visual.attnpool if isinstance(visual, ModifiedResNet) else visual.transformer.resblocks[-1]  # pyright: ignore
    caught: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda _module, arguments: caught.append(arguments[0]))  # pyright: ignore
    try:
        features = encode(inputs)
    finally:
        handle.remove()
    return features, cells(last, caught[0]) if isinstance(last, AttentionPool2d) else patches(visual, caught[0])


def patches(visual: nn.Module, tokens: Float[Tensor, "images tokens width"]) -> Float[Tensor, "images places dim"]:
    """Features of a vision transformer's patches: its last block, `ln_post` and `proj`, each patch attending to itself.

    Where a token attends to itself only, attention is its value projection: no mixing, all else as in the block.
    """
    places = tokens.shape[1] - 1
    itself_alone = tokens.new_full((places, places), float("-inf")).fill_diagonal_(0.0)
    last = visual.transformer.resblocks[-1]  # pyright: ignore
    return visual.ln_post(last(tokens[:, 1:], attn_mask=itself_alone)) @ visual.proj  # pyright: ignore


def cells(
    pool: AttentionPool2d, features: Float[Tensor, "images width rows columns"]
) -> Float[Tensor, "images places dim"]:
    """Features of a ResNet's cells: `v_proj`, then `c_proj`, of each as it comes to the pool, row by row.

    Without the pool's positional embedding, which the authors' code adds for the global embedding only.
    """
    return pool.c_proj(pool.v_proj(features.flatten(2).transpose(1, 2)))
