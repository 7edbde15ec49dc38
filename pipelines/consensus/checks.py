"""What consensus and the reference need of a scan: a base method, and images enough to be one another's neighbours."""

from collections.abc import Iterable, Mapping

from ood_core.methods import MIN_ANCHORS, Method, bases_of
from pipelines.errors import CallerError

ENOUGH = 300
"""Images of a reference; fewer gain little (METHODS.md §10b)."""


def check_base(methods: Mapping[str, Method]) -> None:
    """Raises CallerError if the scores of a method that was not asked for are to be changed."""
    for name, base in bases_of(methods).items():
        if base not in methods:
            raise CallerError(
                f"--param {name}.base={base}: no --method {base!r} was asked for; give it, or another base"
            )


def check_images(methods: Iterable[str], images: int) -> None:
    """Raises CallerError if one of the methods goes by neighbours, and there are fewer images than anchors at least."""
    name = next((name for name in ("consensus", "reference", "verdicts") if name in methods), None)
    if name and images < MIN_ANCHORS:
        raise CallerError(
            f"--method {name} needs {MIN_ANCHORS} images at least, as many as it has anchors, and of the input's "
            f"{images} can be scored; leave it out, with --new-scan"
        )


def check_reference(images: int, unusable: int) -> None:
    """Raises CallerError if a reference has no image."""
    if not images:
        raise CallerError(f"--reference holds no image that can be used: {unusable} cannot be read or embedded")
