"""Scores of an array of embeddings, checked and in one call: for notebooks and scripts."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from ood_core.encoders import ClipEncoder
from ood_core.labels import LabelBank
from ood_core.methods import METHODS, TANL, Method
from ood_core.scores.dataset import score_dataset
from ood_core.scores.tanl_noise import noise_features
from ood_core.vocabulary import CSP

UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of an embedding may be."""


def score_embeddings(
    bank: LabelBank,
    embeddings: np.ndarray | Tensor,
    methods: Sequence[str] | Mapping[str, Method] = ("neglabel",),
    *,
    keys: Sequence[str] | None = None,
    encoder: ClipEncoder | None = None,
    reference: np.ndarray | Tensor | None = None,
    verdicts: Mapping[int, float] | None = None,
    device: str = "cpu",
) -> dict[str, Float64[np.ndarray, " images"]]:
    """Scores of unit image embeddings [images, dim] by each method's name; higher = more in-distribution.

    `methods`: names, with the default parameters, or a mapping of names to parameters. `keys`: the images' names, each
    once, where a method that learns breaks ties by them; by default their numbers. `encoder`: the bank's model, which
    negrefine, interneg and tanl need; `reference`: unit embeddings of images that are known to belong, which reference
    needs and consensus takes in; `verdicts`: of some images, by their numbers, how probably each belongs (0 to 1),
    which verdicts and consensus take in. `gl-mcm` needs features of places too, see `score_dataset`.

    Raises TypeError for embeddings that are no array of floats and methods that are none; ValueError for another shape
    or dimension than the bank's, an embedding whose length is not 1, keys that do not fit, verdicts on images that
    there are not or not from 0 to 1, an unknown method, or a method that lacks what it needs.
    """
    chosen, images = _methods(methods), _checked(embeddings, bank.dim)
    names = [f"{number:09d}" for number in range(len(images))] if keys is None else list(keys)
    if len(names) != len(images) or len(set(names)) != len(names):
        raise ValueError(f"keys must be {len(images)} names, one for each image and no two the same")
    for image, belongs in (verdicts or {}).items():
        if not (0 <= image < len(images) and 0 <= belongs <= 1):
            raise ValueError(
                f"the verdict {belongs} on image {image}: images are 0 to {len(images) - 1}, verdicts 0 to 1"
            )
    encode = invert = noise = None
    known = None if reference is None else _checked(reference, bank.dim, "reference image")
    if encoder is not None:
        templates = tuple(bank.info.prompts.get("noun") or CSP.noun)
        encode = lambda words: encoder.encode_ensembles(templates, words)  # noqa: E731
        inverting = next((parameters for parameters in chosen.values() if parameters.inverts), None)
        invert = inverting.inverter(encoder) if inverting else None
        of_noise = {name: parameters for name, parameters in chosen.items() if isinstance(parameters, TANL)}
        noise = {name: noise_features(encoder, parameters.seed) for name, parameters in of_noise.items()}
    with torch.inference_mode():
        found = score_dataset(
            bank, chosen, images, names,
            encode=encode, invert=invert, noise=noise, reference=known, verdicts=verdicts, device=device,
        )  # fmt: skip
    return dict(found.scores)


def _methods(methods: Sequence[str] | Mapping[str, Method]) -> dict[str, Method]:
    """The parameters by the method's name."""
    if isinstance(methods, str):
        raise TypeError(f"methods must be names or a mapping of names to parameters, not the text {methods!r}")
    for name in methods:
        if name not in METHODS:
            raise ValueError(f"method {name!r} is unknown; the methods are {', '.join(METHODS)}")
    chosen = dict(methods) if isinstance(methods, Mapping) else {name: METHODS[name]() for name in methods}
    for name, parameters in chosen.items():
        if not isinstance(parameters, METHODS[name]):
            raise TypeError(f"the parameters of {name} must be {METHODS[name].__name__}(…), not {parameters!r}")
    return chosen


def _checked(embeddings: np.ndarray | Tensor, dim: int, what: str = "image") -> Tensor:
    """The embeddings as a tensor, if they are what `score_embeddings` takes. `what`: that each is of."""
    if not isinstance(embeddings, np.ndarray | Tensor):
        raise TypeError(f"embeddings must be a NumPy array or a torch tensor, not {type(embeddings).__name__}")
    images = torch.tensor(embeddings) if isinstance(embeddings, np.ndarray) else embeddings.detach()
    if not images.is_floating_point():
        raise TypeError(f"embeddings must be floats, not {embeddings.dtype}")
    if images.ndim != 2:
        raise ValueError(f"embeddings must have the shape [images, {dim}], not {list(images.shape)}")
    if images.shape[1] != dim:
        raise ValueError(f"embeddings have the dimension {images.shape[1]}, and the label bank has {dim}")
    lengths = images.double().norm(dim=1)
    wrong = ~((lengths - 1).abs() < UNIT_TOLERANCE)
    if wrong.any():
        row = int(wrong.int().argmax())
        raise ValueError(f"{what} {row} has an embedding of length {lengths[row]:.4g}, not 1; divide it by its length")
    return images
