"""Frozen CLIP-like models, loaded by OpenCLIP: images and texts to unit embeddings."""

import hashlib
import textwrap
from collections.abc import Sequence
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ood_core.numerics import blocks
from ood_core.preprocessing import Preprocessing
from ood_core.vocabulary import fill

PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
TEXT_BLOCK = 256
CONTEXT_STEP = 8


class ModelError(ValueError):
    """The model asked for cannot be loaded; the message says why."""


class ClipEncoder:
    """Images and texts to unit float32 embeddings, in blocks of one fixed shape.

    A row's embedding does not depend on what is encoded beside it: BLAS picks its kernel by shape, so every block has
    `image_block` images (or `TEXT_BLOCK` texts of one context length), the last one padded.
    """

    def __init__(
        self, model: nn.Module, tokenizer: Any, fingerprint: str, device: str = "cpu", image_block: int = 16
    ) -> None:
        # The layout that convolutions are fast in: half as fast again on a CPU, and no matter to transformers.
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.model = model.eval().requires_grad_(False).to(device)
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.device = torch.device(device)
        self.image_block = image_block
        self.preprocessing = _preprocessing(model)
        # OpenCLIP narrows the weights of layers only; embeddings and norms stay float32.
        self.dtype = min((weight.dtype for weight in model.parameters()), key=lambda dtype: dtype.itemsize)
        self._mean = torch.tensor(self.preprocessing.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(self.preprocessing.std, device=self.device).view(1, 3, 1, 1)
        self._text_tower = _TextTower(model)

    @classmethod
    def load(
        cls,
        model: str,
        pretrained: str | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        image_block: int = 16,
    ) -> "ClipEncoder":
        """Any model that OpenCLIP loads: a name and a pretrained tag or file, `hf-hub:…`, or `local-dir:…`.

        `fingerprint` is the same on every device and in every dtype. Raises ModelError if it cannot be loaded.
        """
        if dtype not in PRECISIONS:
            raise ModelError(f"dtype must be one of {', '.join(PRECISIONS)}, not {dtype!r}")
        loaded, tokenizer = _load(model, pretrained, "float32")
        fingerprint = weight_fingerprint(loaded)
        if dtype != "float32":
            loaded, tokenizer = _load(model, pretrained, dtype)
        return cls(loaded, tokenizer, fingerprint, device, image_block)

    @property
    def dim(self) -> int:
        return self.encode_texts(["a"]).shape[1]

    @property
    def temperature(self) -> float:
        """1 / the model's learned logit scale: τ of METHODS.md."""
        return float(torch.exp(-self.model.logit_scale.detach().float()).max())  # pyright: ignore

    @torch.inference_mode()
    def encode_images(self, pixels: UInt8[Tensor, "images height width 3"]) -> Float[Tensor, "images dim"]:
        """Unit embeddings of pictures that `preprocessing` has brought to the model's size."""
        embeddings = []
        for block, count in blocks(pixels, self.image_block):
            inputs = block.to(self.device).permute(0, 3, 1, 2).float().div(255).sub(self._mean).div(self._std)
            embeddings.append(F.normalize(self._image_features(inputs).float(), dim=1)[:count])
        return torch.cat(embeddings) if embeddings else torch.empty(0, self.dim, device=self.device)

    def _image_features(self, inputs: Tensor) -> Tensor:
        return self.model.encode_image(inputs.to(self.dtype))  # pyright: ignore[reportCallIssue]

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts dim"]:
        """Unit embeddings of texts."""
        return self.encode_ensembles(["{}"], texts)

    @torch.inference_mode()
    def encode_ensembles(self, templates: Sequence[str], words: Sequence[str]) -> Float[Tensor, "words dim"]:
        """Unit embeddings of words under a prompt ensemble: the mean over the templates, then normalised.

        The mean is of the encoder's own outputs, before any normalisation (METHODS.md §4). A text that occurs several
        times is encoded once.
        """
        texts = [text for word in words for text in fill(templates, word)]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        features = self._text_features(list(places))
        rows = torch.tensor([places[text] for text in texts], dtype=torch.long, device=self.device)
        return F.normalize(features[rows].view(len(words), len(templates), features.shape[1]).mean(dim=1), dim=1)

    def _text_features(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        if not texts:
            return torch.empty(0, self.dim, device=self.device)
        tokens = self.tokenizer(texts)
        contexts = self._text_tower.contexts(tokens)
        features: list[Tensor] = []
        rows: list[Tensor] = []
        for context in contexts.unique().tolist():
            chosen = (contexts == context).nonzero().flatten()
            for block, count in blocks(tokens[chosen, :context], TEXT_BLOCK):
                features.append(self._text_tower(block.to(self.device)).float()[:count])
            rows.append(chosen)
        ordered = torch.cat(rows).argsort().to(self.device)
        return torch.cat(features)[ordered]


class _TextTower:
    """A model's text tower, run at a context no longer than the text.

    In a causal tower that pools at the end-of-text token nothing after that token can change the result, so the
    positions after it need not be computed: exact, and several times faster for short texts. Each text has a context
    of its own, whatever stands beside it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.encode_text = _EncodeText(model)
        self.prefix = "model." if hasattr(model, "positional_embedding") else "model.text."
        tower: Any = self.encode_text.get_submodule(self.prefix.rstrip("."))
        self.positions, self.mask = getattr(tower, "positional_embedding", None), getattr(tower, "attn_mask", None)
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


def weight_fingerprint(model: nn.Module) -> str:
    """SHA-256 over every weight's name, shape and float32 bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.float().contiguous().numpy().data)
    return digest.hexdigest()


def _load(model: str, pretrained: str | None, dtype: str) -> tuple[nn.Module, Any]:
    """The model with its weights, and its tokenizer."""
    try:
        loaded = open_clip.create_model(
            model, pretrained, precision=PRECISIONS[dtype], require_pretrained=True, weights_only=True
        )
        return loaded, open_clip.get_tokenizer(model)
    except Exception as error:  # OpenCLIP, hub clients and safetensors raise whatever they like
        raise ModelError(textwrap.shorten(str(error), 300) or type(error).__name__) from error


def _preprocessing(model: nn.Module) -> Preprocessing:
    described = open_clip.get_model_preprocess_cfg(model)
    size = described["size"]
    return Preprocessing(
        size=(size, size) if isinstance(size, int) else (size[-2], size[-1]),
        interpolation=described.get("interpolation") or "bicubic",
        resize_mode=described.get("resize_mode") or "shortest",
        fill_color=described.get("fill_color") or 0,
        mean=tuple(described["mean"]),
        std=tuple(described["std"]),
    )
