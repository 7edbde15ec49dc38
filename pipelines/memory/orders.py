"""Which methods of a scan learn from the images, and in which order they go over them."""

from collections.abc import Mapping

from ood_core.methods import LearningMethod, Method, learners_of
from pipelines.errors import CallerError


def learning_methods(methods: Mapping[str, Method]) -> dict[str, LearningMethod]:
    """The methods that learn from the images, in whatever order."""
    return {
        name: chosen
        for name, chosen in methods.items()
        if isinstance(chosen, LearningMethod) and chosen.learning_order is not None
    }


def methods_with_memory(methods: Mapping[str, Method]) -> dict[str, LearningMethod]:
    """The methods whose memory a scan keeps: those that learn, but not in sequential order."""
    return {name: chosen for name, chosen in learning_methods(methods).items() if not chosen.sequential}


def has_sequential(methods: Mapping[str, Method]) -> bool:
    """Whether a method goes over the images in the papers' order, batch by batch in one process."""
    return any(chosen.sequential for chosen in methods.values())


def check_orders(methods: Mapping[str, Method]) -> None:
    """Raises CallerError for orders that a method does not have, or that do not go together in one scan."""
    streaming, transductive = learners_of(methods, "streaming"), learners_of(methods)
    for name, chosen in streaming.items():
        if chosen.inverts:
            raise CallerError(
                f"--order streaming: {name} turns images into words once it has seen them all; give "
                f"--param {name}.order=transductive, or --param {name}.max_inversions=0"
            )
    if streaming and transductive:
        raise CallerError(
            f"--order: {', '.join(streaming)} in streaming and {', '.join(transductive)} in transductive order do "
            "not go into one scan"
        )
