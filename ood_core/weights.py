"""A model's weights: what tells them from others, and how they are narrowed."""

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from open_clip.model import convert_weights_to_lp
from open_clip.timm_model import TimmModel
from open_clip.transformer import AttentionalPooler, LayerNorm, LayerNormFp32
from torch import Tensor, nn

ROW_BYTES = 4096


def weight_fingerprint(model: nn.Module) -> str:
    """SHA-256 over every weight's name, shape and float32 bytes: seconds for a large model."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.float().contiguous().numpy().data)
    return digest.hexdigest()


def weight_checksum(model: nn.Module) -> str:
    """A checksum over every bit of every weight, as fast as memory is read; no proof against forgery.

    Each weight's bytes are laid out in rows of `ROW_BYTES`, as integers of 64 bits, and summed along both. A change of
    one integer changes the sum of its row and of its column, whatever the change; so does every exchange of two rows.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        for part in _sums(tensor):
            digest.update(part.tobytes())
    return digest.hexdigest()


def _sums(tensor: Tensor) -> Iterator[np.ndarray]:
    """The sums of a tensor's bytes along rows and columns, modulo 2^64, and the bytes that fill no row."""
    content = tensor.contiguous().flatten().view(torch.uint8).numpy()
    whole = len(content) // ROW_BYTES * ROW_BYTES
    rows = content[:whole].view(np.uint64).reshape(-1, ROW_BYTES // 8)
    yield rows.sum(axis=0)
    yield rows.sum(axis=1)
    yield content[whole:]


def narrow_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Narrows a float32 model in place to the bits that OpenCLIP loads it with in precision "bf16" or "fp16".

    As there, norms compute in float32, and only layers are narrowed, unless the image tower is of timm: then all is
    but OpenCLIP's norms.
    """
    poolers = [module for module in model.modules() if isinstance(module, AttentionalPooler)]
    pooling = {module for pooler in poolers for module in pooler.modules()}  # OpenCLIP leaves CoCa's as they are
    for module in model.modules():
        if type(module) is LayerNorm and module not in pooling:
            module.__class__ = LayerNormFp32  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(getattr(model, "visual", None), TimmModel):
        for module in model.modules():
            if not isinstance(module, LayerNormFp32):
                _narrow(module, dtype)
    else:
        convert_weights_to_lp(model, dtype)


def _narrow(module: nn.Module, dtype: torch.dtype) -> None:
    """Narrows the floats that are a module's own, not its children's."""
    for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
