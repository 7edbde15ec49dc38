"""Trials of a loaded model on generated images: may it compute in bfloat16, and compiled? For workers."""

from typing import TYPE_CHECKING

from pipelines.errors import first_line

if TYPE_CHECKING:
    from ood_core.encoders import ClipEncoder

LEAST_COSINE = 0.9995
"""Embeddings that a faster way of computing makes must be as near as this to those that it replaces."""


def try_bfloat16(encoder: "ClipEncoder", unit: str | None) -> tuple[str, str]:
    """The dtype for `auto` on a CPU, and why: bfloat16 if the CPU has a `unit` for it and the embeddings stay.

    `encoder`: in float32; is narrowed by the trial.
    """
    from ood_core.trial import least_cosine, trial_images

    if unit is None:
        return "float32", "encodes in float32: the processor has no unit for bfloat16"
    images = trial_images(encoder.preprocessing.size)
    wide = encoder.encode_images(images)
    if problem := try_narrow(encoder, "bfloat16"):
        return "float32", f"encodes in float32: {problem}"
    cosine = least_cosine(encoder.encode_images(images), wide)
    dtype = "bfloat16" if cosine >= LEAST_COSINE else "float32"
    return dtype, f"encodes in {dtype}: bfloat16 by {unit} has a least cosine of {cosine:.5f} to float32"


def try_narrow(encoder: "ClipEncoder", dtype: str) -> str | None:
    """Why the model does not encode images in a dtype; None if it does. The encoder is narrowed by the trial."""
    from ood_core.trial import trial_images

    encoder.narrow(dtype)
    try:
        encoder.encode_images(trial_images(encoder.preprocessing.size))
    except RuntimeError as error:  # some of OpenCLIP's models mix dtypes, CoCa among them
        return f"the model does not run in {dtype}: {first_line(error)}"
    return None


def try_compiled(encoder: "ClipEncoder") -> str | None:
    """Why the model is not to run compiled; None if it may. The encoder is compiled by the trial."""
    from ood_core.encoders import ModelError
    from ood_core.trial import least_cosine, trial_images

    images = trial_images(encoder.preprocessing.size)
    plain = encoder.encode_images(images)
    try:
        encoder.compile()
        cosine = least_cosine(encoder.encode_images(images), plain)
    except ModelError as error:
        return str(error)
    return None if cosine >= LEAST_COSINE else f"compiled, its embeddings have a least cosine of {cosine:.5f} to plain"
