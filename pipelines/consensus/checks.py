"""What consensus needs of a scan: a base method, and images enough to be one another's neighbours."""

from collections.abc import Mapping

from ood_core.methods import MIN_ANCHORS, Method, consensus_of
from pipelines.errors import CallerError


def check_base(methods: Mapping[str, Method]) -> None:
    """Raises CallerError if consensus is to smooth the scores of a method that was not asked for."""
    chosen = consensus_of(methods)
    if chosen and chosen.base not in methods:
        raise CallerError(
            f"--param consensus.base={chosen.base}: no --method {chosen.base!r} was asked for; give it, or another base"
        )


def check_images(images: int) -> None:
    """Raises CallerError if there are fewer images than anchors at least."""
    if images < MIN_ANCHORS:
        raise CallerError(
            f"--method consensus needs {MIN_ANCHORS} images at least, as many as it has anchors, and of the input's "
            f"{images} can be scored; leave it out, with --new-scan"
        )
