"""Contrastive losses in which one text may be true of many pictures, and one picture have many true texts."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_FAR = -1e4
KINDS_SCALE = 12.0


def text_features(model: Any, ids: Tensor) -> Tensor:
    """[texts, length] ids -> [texts, dim] unit features, at the batch's own length: the tower is causal, so exact."""
    length = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    pooled = x[torch.arange(len(ids)), ids.argmax(dim=-1)]
    return functional.normalize((pooled @ model.text_projection).float(), dim=-1)


def one_of(logits: Tensor, drawn: Tensor, true: Tensor) -> Tensor:
    """Mean cross-entropy of each row's drawn column against the columns that are not true of the row.

    logits [rows, columns]; drawn [rows] column numbers; true [rows, columns], its true columns do not compete.
    """
    target = logits.gather(1, drawn[:, None])
    others = torch.where(true, _FAR, logits)
    return (torch.logsumexp(torch.cat([target, others], dim=1), dim=1) - target[:, 0]).mean()


def picture_text(logits: Tensor, drawn: Tensor, true: Tensor) -> Tensor:
    """0.6 picture to text and 0.4 text to picture; logits and true [pictures, texts], drawn [pictures] text numbers."""
    to_text = one_of(logits, drawn, true)
    asked = logits[:, drawn].T  # one row per picture: its drawn text against all pictures
    to_picture = one_of(asked, torch.arange(len(drawn)), true[:, drawn].T)
    return 0.6 * to_text + 0.4 * to_picture


def text_text(logits: Tensor, related: Tensor) -> Tensor:
    """Each noun against the texts that explain the nouns of the batch, both ways; logits and related [nouns, nouns]."""
    own = torch.arange(len(logits))
    return 0.5 * one_of(logits, own, related) + 0.5 * one_of(logits.T, own, related.T)


def kinds(features: Tensor, same: Tensor) -> Tensor:
    """Texts of one kind lie together and apart from other kinds: a fixed, mild scale, and any of the own kind will do.

    features [texts, dim] of unit norm; same [texts, texts], true where two texts are of one kind.
    """
    logits = (KINDS_SCALE * features @ features.T).fill_diagonal_(_FAR)
    own = torch.where(same, logits, _FAR)
    return (torch.logsumexp(logits, dim=1) - torch.logsumexp(own, dim=1))[same.sum(dim=1) > 1].mean()
