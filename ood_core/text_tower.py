"""A model's text tower, run at a context no longer than the text."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

CONTEXT_STEP = 2


class TextTower:
    """A text tower: turns tokens into the encoder's own outputs, not normalised.

    In a causal tower that pools at the end-of-text token nothing after that token can change the result, so the
    positions after it need not be computed: exact, and several times faster for short texts. Each text has a context
    of its own, whatever stands beside it.

    `embedding` is the module that turns tokens into vectors, None where the tower has none that can be told.
    """

    def __init__(self, model: nn.Module) -> None:
        self.encode_text = _EncodeText(model)
        self.prefix = "model." if hasattr(model, "positional_embedding") else "model.text."
        tower: Any = self.encode_text.get_submodule(self.prefix.rstrip("."))
        self.positions, self.mask = getattr(tower, "positional_embedding", None), getattr(tower, "attn_mask", None)
        embedding = getattr(tower, "token_embedding", None)
        self.embedding = embedding if isinstance(embedding, nn.Embedding) else None
        self.kind = type(tower).__name__
        self.pool = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
        self.eos = getattr(tower, "text_eos_id", None) or getattr(tower, "eos_id", None)
        causal = self.mask is not None and getattr(tower, "cls_emb", None) is None
        self.can_shorten = causal and self.pool in ("argmax", "eos")

    def contexts(self, tokens: Int[Tensor, "texts context"]) -> Int[Tensor, " texts"]:
        """For each text the shortest context that holds it, in steps of `CONTEXT_STEP` tokens."""
        full = tokens.shape[1]
        if not self.can_shorten:
            return torch.full((len(tokens),), full)
        end = tokens.argmax(dim=1) if self.pool == "argmax" else (tokens == self.eos).int().argmax(dim=1)
        return ((end + CONTEXT_STEP) // CONTEXT_STEP * CONTEXT_STEP).clamp(max=full)

    def __call__(self, tokens: Int[Tensor, "texts context"]) -> Float[Tensor, "texts dim"]:
        if self.positions is None or self.mask is None or not self.can_shorten:
            return self.encode_text(tokens)
        context = tokens.shape[1]
        shortened = {
            self.prefix + "positional_embedding": self.positions[:context],
            self.prefix + "attn_mask": self.mask[:context, :context],
        }
        return torch.func.functional_call(self.encode_text, shortened, (tokens,))


class _EncodeText(nn.Module):
    """A model's `encode_text` as the `forward` that `functional_call` needs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.encode_text(tokens)  # pyright: ignore[reportCallIssue]
