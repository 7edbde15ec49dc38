"""Frozen CLIP-like models, loaded by OpenCLIP: images and texts to unit embeddings."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from ood_core.local_features import encode_locally, local_features_problem, place_count
from ood_core.numerics import blocks
from ood_core.preprocessing import Preprocessing
from ood_core.text_tower import TextTower
from ood_core.vocabulary import fill
from ood_core.weights import narrow_weights, weight_checksum, weight_fingerprint

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LEAST_TEXT_BLOCK = 32


class ModelError(ValueError):
    """The model asked for cannot be loaded; the message says why."""


class ClipEncoder:
    """Images and texts to unit float32 embeddings, in blocks of one fixed shape.

    A row's embedding does not depend on what is encoded beside it: BLAS picks its kernel by shape, so every block has
    `image_block` images (or `text_block` texts of one context length), the last one padded.

    `fingerprint`: what `weight_fingerprint` makes of the weights before they are narrowed; `checksum`: the quick one.
    """

    def __init__(
        self, model: nn.Module, tokenizer: Any, fingerprint: str, device: str = "cpu", image_block: int = 32
    ) -> None:
        self.checksum = weight_checksum(model)
        # The layout that convolutions are fast in: half as fast again on a CPU, and no matter to transformers.
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.model = model.eval().requires_grad_(False).to(device)
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.device = torch.device(device)
        self.image_block, self.text_block = image_block, max(LEAST_TEXT_BLOCK, image_block)
        self.preprocessing = _preprocessing(model)
        self.dtype = torch.float32
        self._compiled: Callable[[Tensor], Tensor] | None = None
        self._mean = torch.tensor(self.preprocessing.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(self.preprocessing.std, device=self.device).view(1, 3, 1, 1)
        self.text_tower = TextTower(model)

    @classmethod
    def load(
        cls,
        model: str,
        pretrained: str | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        image_block: int = 32,
        fingerprint: str | None = None,
    ) -> "ClipEncoder":
        """Any model that OpenCLIP loads: a name and a pretrained tag or file, `hf-hub:…`, or `local-dir:…`.

        `fingerprint` is the same on every device and in every dtype; given, it is taken for granted, which saves
        seconds with a large model. Raises ModelError if it cannot be loaded.
        """
        if dtype not in DTYPES:
            raise ModelError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
        loaded, tokenizer = _load(model, pretrained)
        fingerprint = fingerprint or weight_fingerprint(loaded)
        try:
            encoder = cls(loaded, tokenizer, fingerprint, device, image_block)
        except RuntimeError as error:  # no driver, no device, no room
            raise ModelError(f"the model cannot be put on the device {device!r}: {_first_words(error)}") from error
        encoder.narrow(dtype)
        return encoder

    def narrow(self, dtype: str) -> None:
        """Narrows the weights in place: the bits are those of OpenCLIP's own "bf16" and "fp16". No way back."""
        if DTYPES[dtype] != self.dtype:
            narrow_weights(self.model, DTYPES[dtype])
            self.dtype, self._compiled = DTYPES[dtype], None
            self.text_tower = TextTower(self.model)

    def compile(self) -> None:
        """From now on `encode_images` runs compiled by torch.compile, for blocks of its one shape.

        The first block takes up to a minute and a compiler; where that fails, `encode_images` raises ModelError.
        Nothing is chosen by timing, so every process makes the same code. `encode_images_locally` stays as it is.
        """
        try:
            self._compiled = torch.compile(self._image_features, dynamic=False, options={"deterministic": True})
        except RuntimeError as error:  # an older torch, which does not know the option
            raise ModelError(f"the model cannot be compiled: {_first_words(error)}") from error

    def _encoded(self, inputs: Tensor) -> Tensor:
        if self._compiled is None:
            return self._image_features(inputs)
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self._compiled(inputs)
        except TorchDynamoException as error:
            raise ModelError(f"the model cannot be compiled: {_first_words(error)}") from error

    @cached_property
    def dim(self) -> int:
        return self.encode_texts(["a"]).shape[1]

    @property
    def temperature(self) -> float:
        """The inverse of the model's learned logit scale: τ of METHODS.md."""
        return float(torch.exp(-self.model.logit_scale.detach().float()).max())  # pyright: ignore

    @torch.inference_mode()
    def encode_images(self, pixels: UInt8[Tensor, "images height width 3"]) -> Float[Tensor, "images dim"]:
        """Unit embeddings of pictures that `preprocessing` has brought to the model's size."""
        found = [F.normalize(self._encoded(inputs).float(), dim=1)[:n] for inputs, n in self._inputs(pixels)]
        return torch.cat(found) if found else torch.empty(0, self.dim, device=self.device)

    def encode_pictures(self, pictures: Iterable[Image.Image]) -> Float[Tensor, "images dim"]:
        """Unit embeddings of PIL images of any size and mode, preprocessed as the model wants them.

        Holds the pixels of `image_block` images at a time, so that a generator can open any number of files. Equal to
        `encode_images` to the last bit. Raises TypeError for what is no PIL image.
        """
        if isinstance(pictures, Image.Image):
            raise TypeError("pictures must be PIL images, and this is one; put it in a list")
        waiting = iter(pictures)
        parts = [torch.empty(0, self.dim, device=self.device)]
        while block := [self._pixels(picture) for picture in islice(waiting, self.image_block)]:
            parts.append(self.encode_images(torch.from_numpy(np.stack(block))))
        return torch.cat(parts)

    def _pixels(self, picture: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
        if not isinstance(picture, Image.Image):
            raise TypeError(f"pictures must be PIL images, not {type(picture).__name__}")
        return self.preprocessing(picture)

    @torch.inference_mode()
    def encode_images_locally(
        self, pixels: UInt8[Tensor, "images height width 3"]
    ) -> tuple[Float[Tensor, "images dim"], Float[Tensor, "images places dim"]]:
        """`encode_images`, and unit features of every place of each image, from one pass (METHODS.md §2).

        Places are a vision transformer's patches, or the cells of a ResNet's last feature map, row by row. Raises
        ModelError if the model has none.
        """
        if reason := self.local_features_problem():
            raise ModelError(f"the model gives no local features: {reason}")
        found = [self._locally(inputs, count) for inputs, count in self._inputs(pixels)]
        if not found:
            shape = 0, place_count(self._visual), self.dim
            return torch.empty(0, self.dim, device=self.device), torch.empty(shape, device=self.device)
        embeddings, local = zip(*found, strict=True)
        return torch.cat(embeddings), torch.cat(local)

    def _locally(self, inputs: Tensor, count: int) -> tuple[Tensor, Tensor]:
        features, places = encode_locally(self._visual, self._image_features, inputs)
        return F.normalize(features.float(), dim=1)[:count], F.normalize(places.float(), dim=2)[:count]

    def local_features_problem(self) -> str | None:
        """The reason why the model gives no local features; None if it does. Runs nothing."""
        return local_features_problem(self._visual)

    @property
    def _visual(self) -> nn.Module:
        return self.model.get_submodule("visual")

    def _inputs(self, pixels: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Normalised pixels in blocks of `image_block` images, each with its count of images before the padding."""
        for block, count in blocks(pixels, self.image_block):
            inputs = block.to(self.device).permute(0, 3, 1, 2).float().div(255)
            yield inputs.sub(self._mean).div(self._std), count

    def _image_features(self, inputs: Tensor) -> Tensor:
        return self.model.encode_image(inputs.to(self.dtype))  # pyright: ignore[reportCallIssue]

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts dim"]:
        """Unit embeddings of texts."""
        return self.encode_ensembles(["{}"], texts)

    @torch.inference_mode()
    def encode_ensembles(
        self, templates: Sequence[str], words: Sequence[str], normalize: bool = True
    ) -> Float[Tensor, "words dim"]:
        """Unit embeddings of words under a prompt ensemble: the mean over the templates, then normalised.

        The mean is of the encoder's own outputs, before any normalisation (METHODS.md §4); without `normalize` it is
        left at that. A text that occurs several times is encoded once.
        """
        texts = [text for word in words for text in fill(templates, word)]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        features = self._text_features(list(places))
        rows = torch.tensor([places[text] for text in texts], dtype=torch.long, device=self.device)
        means = features[rows].view(len(words), len(templates), features.shape[1]).mean(dim=1)
        return F.normalize(means, dim=1) if normalize else means

    def _text_features(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        if not texts:
            return torch.empty(0, self.dim, device=self.device)
        tokens = self.tokenizer(texts)
        contexts = self.text_tower.contexts(tokens)
        features: list[Tensor] = []
        rows: list[Tensor] = []
        for context in contexts.unique().tolist():
            chosen = (contexts == context).nonzero().flatten()
            for block, count in blocks(tokens[chosen, :context], self.text_block):
                features.append(self.text_tower(block.to(self.device)).float()[:count])
            rows.append(chosen)
        ordered = torch.cat(rows).argsort().to(self.device)
        return torch.cat(features)[ordered]


NO_TRANSFORMERS = "its tokenizer is one of transformers: install oodscan[transformers]"


def _load(model: str, pretrained: str | None) -> tuple[nn.Module, Any]:
    """The model with its weights in float32, and its tokenizer."""
    if _tokenized_by_transformers(model) and find_spec("transformers") is None:
        raise ModelError(NO_TRANSFORMERS)  # before the weights come
    try:
        loaded = open_clip.create_model(model, pretrained, precision="fp32", require_pretrained=True, weights_only=True)
        return loaded, open_clip.get_tokenizer(model)
    except ModuleNotFoundError as error:
        raise ModelError(NO_TRANSFORMERS if error.name == "transformers" else _first_words(error)) from error
    except Exception as error:  # OpenCLIP, hub clients and safetensors raise whatever they like
        raise ModelError(_first_words(error)) from error


def _tokenized_by_transformers(model: str) -> bool:
    """Whether a model that OpenCLIP knows by name has a tokenizer of Hugging Face's; of others that shows later."""
    known = None if ":" in model else open_clip.get_model_config(model)
    return bool(known and known.get("text_cfg", {}).keys() & {"hf_tokenizer_name", "hf_model_name"})


def _first_words(error: Exception) -> str:
    """What an error says in one line, or else its type."""
    return textwrap.shorten(str(error), 300) or type(error).__name__


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
