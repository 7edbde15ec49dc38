"""Parameters of the reference: images that are known to belong (METHODS.md §10b). Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ood_core.methods.consensus import Consensus, consensus_of
from ood_core.methods.method import Method, of_images
from ood_core.methods.of_base import OfBase
from ood_core.methods.verdicts import verdicts_of


@dataclass(frozen=True)
class Reference(OfBase):
    """Parameters of `reference`, which lowers the scores of images that are unlike a set of images known to belong.

    `base`: the method whose standardised scores are lowered, by one standard deviation at most; None: the first one
    asked for that learns nothing from the images. Images vote on anchors as the parameters of consensus have it.
    """


def settled(methods: Mapping[str, Method], has_reference: bool) -> dict[str, Method]:
    """The methods with what depends on each other and on whether a reference is given: the bases of `reference` and
    `verdicts`, and whether consensus takes the reference in.

    Raises ValueError if a method needs a reference and there is none, or a base.
    """
    found = dict(methods)
    for name, chosen in methods.items():
        if isinstance(chosen, Reference) and not has_reference:
            raise ValueError("the method reference needs images that are known to belong")
        if isinstance(chosen, OfBase):
            found[name] = replace(chosen, base=chosen.base or _first_static(name, methods))
        if isinstance(chosen, Consensus):
            if chosen.reference and not has_reference:
                raise ValueError("consensus.reference=True needs images that are known to belong")
            found[name] = replace(chosen, reference=has_reference if chosen.reference is None else chosen.reference)
    return found


def uses_reference(methods: Mapping[str, Method]) -> bool:
    """Whether one of these methods, which are `settled`, takes a reference in."""
    smoothing = consensus_of(methods)
    return reference_of(methods) is not None or bool(smoothing and smoothing.reference)


def takes_verdicts(methods: Mapping[str, Method]) -> bool:
    """Whether one of these methods takes verdicts in."""
    smoothing = consensus_of(methods)
    return verdicts_of(methods) is not None or bool(smoothing and smoothing.verdicts)


def bases_of(methods: Mapping[str, Method]) -> dict[str, str]:
    """The method whose scores each of those goes by that look at an image's neighbours: `consensus`, `reference` and
    `verdicts`, as far as they were asked for; the methods are `settled`."""
    chosen = {"consensus": consensus_of(methods), "reference": reference_of(methods), "verdicts": verdicts_of(methods)}
    return {name: found.base for name, found in chosen.items() if found and found.base}


def _first_static(asking: str, methods: Mapping[str, Method]) -> str:
    """The first method that scores an image by itself."""
    for name, chosen in of_images(methods).items():
        if chosen.learning_order is None:
            return name
    raise ValueError(f"the method {asking} needs the scores of another method that learns nothing from the images")


def reference_of(methods: Mapping[str, Method]) -> Reference | None:
    """The parameters of the reference, if its method was asked for."""
    return next((chosen for chosen in methods.values() if isinstance(chosen, Reference)), None)
