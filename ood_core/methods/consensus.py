"""Parameters of consensus, which smooths another method's scores (METHODS.md §10). Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from ood_core.methods.method import Method, above, at_least
from ood_core.methods.table import check_base

MIN_ANCHORS = 16


@dataclass(frozen=True)
class Consensus(Method):
    """Parameters of `consensus` (METHODS.md §10), which smooths the scores of `base`, another method.

    One anchor for `images_per_anchor` images, `max_anchors` at most. An image votes on its `nearest` anchors, with the
    softmax of `sharpness` times its cosines. `caution` (κ): how readily neighbours are distrusted; 0: not at all.
    `reach`: how many standard deviations farther from its anchor than its neighbours an image may be before they no
    longer raise its score, so that a stray among images that belong stays what it is; None: METHODS.md's own weights.

    `reference`: whether a set of images that are known to belong lowers the base of those that are unlike it (§10b);
    None: if one is given. `crowding`: λ of §10c, how much the base of images on crowded labels is lowered; not safe
    where the labels' shares are uneven. `verdicts`: whether what was said of some images moves the base of those like
    them (§10d), once something was.
    """

    needs_negatives = False

    base: str = "neglabel"
    images_per_anchor: int = 15
    max_anchors: int = 65_536
    nearest: int = 5
    sharpness: float = 20.0
    caution: float = 0.25
    reach: float | None = 3.0
    rounds: int = 4
    reference: bool | None = None
    crowding: float = 0.0
    verdicts: bool = True

    def __post_init__(self) -> None:
        check_base(self.base)
        at_least(1, images_per_anchor=self.images_per_anchor, nearest=self.nearest, rounds=self.rounds)
        at_least(MIN_ANCHORS, max_anchors=self.max_anchors)
        at_least(0, sharpness=self.sharpness, caution=self.caution, crowding=self.crowding)
        if self.reach is not None:
            above(0, reach=self.reach)


def consensus_of(methods: Mapping[str, Method]) -> Consensus | None:
    """The parameters of consensus, if it was asked for."""
    return next((chosen for chosen in methods.values() if isinstance(chosen, Consensus)), None)
