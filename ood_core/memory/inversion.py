"""Modality inversion: images turned into words (InterNeg, arXiv 2603.02618; METHODS.md §8, extra negatives)."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ood_core.encoders import ClipEncoder, ModelError
from ood_core.numerics import blocks

START_DEVIATION = 0.02
WEIGHT_DECAY = 0.01


def inversion_problem(encoder: ClipEncoder) -> str | None:
    """The reason why a model cannot invert images; None if it can."""
    try:
        Inverter(encoder)
    except ModelError as error:
        return str(error)
    return None


class Inverter:
    """Turns unit image embeddings into unit text embeddings near them, by a pseudo-word in a sentence of ImageNet's.

    One pseudo-token per image stands where the word belongs in one of OpenAI's 80 templates, and `steps` steps of AdamW
    bring the text's embedding nearer to the image's. Template and start are drawn from (seed, key), and an image's word
    does not depend on what is inverted beside it: blocks have the encoder's `image_block` images and one context. On a
    CPU one thread computes them, since sums in a backward pass may depend on how many share them.

    Raises ModelError if the model's text tower takes no pseudo-tokens.
    """

    def __init__(self, encoder: ClipEncoder, steps: int = 10, learning_rate: float = 0.02, seed: int = 0) -> None:
        tower = encoder.text_tower
        if tower.embedding is None:
            raise ModelError(f"the model cannot invert images: its text tower, a {tower.kind}, has no token embedding")
        self.encoder, self.steps, self.learning_rate, self.seed = encoder, steps, learning_rate, seed
        self.embedding = tower.embedding
        self.tokens, self.is_word = sentences(encoder)
        if not (self.is_word.sum(dim=1) == 1).all():
            raise ModelError("the model cannot invert images: its tokenizer does not spell $ with one token")
        self.contexts = tower.contexts(self.tokens)

    def __call__(self, images: Float[Tensor, "images dim"], keys: Sequence[str]) -> Float[Tensor, "images dim"]:
        with torch.inference_mode(False), torch.enable_grad(), one_thread():
            targets = images.clone().to(self.encoder.device, torch.float32)
            drawn = [self._draw(key) for key in keys]
            chosen = torch.tensor([template for template, _ in drawn], dtype=torch.long)
            starts = torch.tensor(np.array([start for _, start in drawn]), dtype=torch.float32)
            words = torch.empty_like(targets)
            for context in self.contexts[chosen].unique().tolist():
                rows = (self.contexts[chosen] == context).nonzero()[:, 0]
                words[rows] = self._at_context(context, chosen[rows], starts[rows], targets[rows])
        return words.to(images.device)

    def _draw(self, key: str) -> tuple[int, Float[np.ndarray, " width"]]:
        """The template and the first pseudo-token of an image."""
        digest = hashlib.sha256(f"{self.seed}:{key}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest))
        template = int(generator.integers(len(self.tokens)))
        return template, generator.normal(0, START_DEVIATION, self.embedding.embedding_dim)

    def _at_context(self, context: int, chosen: Tensor, starts: Tensor, targets: Tensor) -> Float[Tensor, "images dim"]:
        """Images whose templates fit one context, in blocks of one shape."""
        size, device = self.encoder.image_block, self.encoder.device
        columns = self.tokens[chosen, :context], self.is_word[chosen, :context], starts, targets
        parts = []
        for block in zip(*(blocks(column, size) for column in columns), strict=True):
            tokens, is_word, start, target = (rows.to(device) for rows, _ in block)
            parts.append(self._invert(tokens, is_word, start, target)[: block[0][1]])
        return torch.cat(parts)

    def _invert(
        self,
        tokens: Int[Tensor, "images context"],
        is_word: Bool[Tensor, "images context"],
        start: Float[Tensor, "images width"],
        target: Float[Tensor, "images dim"],
    ) -> Float[Tensor, "images dim"]:
        """Optimises a pseudo-word for each image. The loss 1 - cos is summed, so that each goes as if it were alone."""
        word = start.clone().requires_grad_()
        optimiser = torch.optim.AdamW([word], lr=self.learning_rate, weight_decay=WEIGHT_DECAY)
        # Of the attentions that torch may choose from, the others' backward passes add up in any order on a GPU.
        with pseudo_token(self.embedding, word, is_word), sdpa_kernel(SDPBackend.MATH):
            for _ in range(self.steps):
                loss = (1 - F.cosine_similarity(self.encoder.text_tower(tokens).float(), target)).sum()
                (word.grad,) = torch.autograd.grad(loss, [word])
                optimiser.step()
            with torch.no_grad():
                return F.normalize(self.encoder.text_tower(tokens).float(), dim=1)


@contextmanager
def one_thread() -> Iterator[None]:
    """One of torch's threads on a CPU while the context manager lasts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def pseudo_token(
    embedding: nn.Embedding, word: Float[Tensor, "texts width"], is_word: Bool[Tensor, "texts context"]
) -> Iterator[None]:
    """Puts a vector of each text's own in the place of its pseudo-token while the context manager lasts."""

    def replace(_module: object, _tokens: object, vectors: Tensor) -> Tensor:
        return torch.where(is_word[:, :, None], word[:, None].to(vectors.dtype), vectors)

    handle = embedding.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def sentences(encoder: ClipEncoder) -> tuple[Int[Tensor, "templates context"], Bool[Tensor, "templates context"]]:
    """The templates' tokens around a word, and where the word is: where sentences with another word differ.

    Spaces around the placeholder keep it a token of its own, which no letter or full stop beside it joins.
    """
    tokens, others = (
        encoder.tokenizer([template(f" {word} ") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]) for word in "$#"
    )
    return tokens, tokens != others
