"""What a scan's methods ask for of the images' neighbours, and the chains of sums that come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ood_core.consensus.agreement import Agreement
from ood_core.consensus.base import NO_TERMS, Base, Terms
from ood_core.consensus.reference import ReferenceSums
from ood_core.consensus.votes import LabelVotes, Votes
from ood_core.methods import Consensus, Method, Reference, consensus_of, reference_of, uses_reference
from pipelines.consensus.tables import LOG_ODDS, OTHER_LOG_ODDS

ChainName = Literal["consensus", "reference"]
Chain = Agreement | Base
"""Sums over all images, one after the other."""


@dataclass(frozen=True)
class Known:
    """What has been summed up over all images of a scan. `consensus`: None if it was not asked for; `referring`: the
    base that the method `reference` lowers, None if not asked for."""

    consensus: Agreement | None
    referring: Base | None

    @property
    def with_reference(self) -> Base | None:
        """A base that has taken the reference in, whichever; None if none has."""
        bases = [self.referring, self.consensus.base if self.consensus else None]
        return next((base for base in bases if base and base.terms.reference), None)

    def by(self, reference: ReferenceSums) -> "Known":
        """The same, but that other images stand for what belongs."""
        consensus, referring = self.consensus, self.referring
        if consensus and consensus.terms.reference:
            consensus = replace(consensus, terms=replace(consensus.terms, reference=reference))
        if referring:
            referring = replace(referring, terms=replace(referring.terms, reference=reference))
        return Known(consensus, referring)


@dataclass(frozen=True)
class Asked:
    """What is asked for. `smoothing`: consensus; `referring`: the method `reference`; one of them at least."""

    smoothing: Consensus | None
    referring: Reference | None
    takes_reference: bool

    @classmethod
    def of(cls, methods: Mapping[str, Method]) -> "Asked | None":
        """What these methods ask for; None if it is nothing."""
        smoothing, referring = consensus_of(methods), reference_of(methods)
        return cls(smoothing, referring, uses_reference(methods)) if smoothing or referring else None

    @property
    def parameters(self) -> Consensus:
        """How anchors are fitted and voted on."""
        return self.smoothing or Consensus(base=self.bases[0])

    @property
    def bases(self) -> tuple[str, ...]:
        """The methods whose scores are looked at, by the columns of log-odds in `columns`."""
        chosen = [one.base for one in (self.smoothing, self.referring) if one and one.base]
        return tuple(dict.fromkeys(chosen))

    @property
    def columns(self) -> dict[str, str]:
        """The method whose log-odds each column of a table of votes holds."""
        return dict(zip((LOG_ODDS, OTHER_LOG_ODDS), self.bases, strict=False))

    @property
    def on_labels(self) -> bool:
        """Whether images vote on ID labels too."""
        return self.takes_reference or bool(self.smoothing and self.smoothing.crowding)

    @property
    def chains(self) -> tuple[ChainName, ...]:
        """The chains of sums: of the reference only if its base is not that of consensus, and nothing added but it."""
        shared = (
            self.smoothing
            and self.referring
            and self.smoothing.reference
            and not self.smoothing.crowding
            and self.smoothing.base == self.referring.base
        )
        smoothing: tuple[ChainName, ...] = ("consensus",) if self.smoothing else ()
        return (*smoothing, "reference") if self.referring and not shared else smoothing

    def column(self, chain: ChainName) -> str:
        """The column of the log-odds that a chain sums up."""
        chosen = self.smoothing if chain == "consensus" else self.referring
        return next(column for column, base in self.columns.items() if chosen and base == chosen.base)

    def start(self, chain: ChainName, anchor_count: int, label_count: int, reference: ReferenceSums | None) -> Chain:
        """A chain before its first sums."""
        if chain == "reference" or self.smoothing is None:
            return Base(anchor_count, Terms(reference, 0.0, label_count))
        terms = Terms(reference if self.smoothing.reference else None, self.smoothing.crowding, label_count)
        return Agreement(self.smoothing, anchor_count, terms=terms if terms else NO_TERMS)

    def steps(self, chain: ChainName) -> int:
        """How many sums a chain has."""
        nothing = np.zeros(0, np.int64)
        return self.start(chain, 0, 0, ReferenceSums(0, nothing, nothing, nothing)).steps

    def known(self, chains: Mapping[ChainName, Chain]) -> Known:
        """What the chains have come to."""
        agreement, base = chains.get("consensus"), chains.get("reference")
        consensus = agreement if isinstance(agreement, Agreement) else None
        referring = base if isinstance(base, Base) else None
        if self.referring and consensus and referring is None:
            referring = consensus.base
        return Known(consensus, referring)


def no_votes(asked: Asked) -> Votes:
    """The votes of no images."""
    nearest = asked.parameters.nearest
    places, weights = np.empty((0, nearest), np.int32), np.empty((0, nearest), np.float32)
    in_reference = np.empty(0, bool) if asked.takes_reference else None
    on_labels = LabelVotes(places, weights) if asked.on_labels else None
    return Votes(np.empty(0), places, weights, np.empty(0, np.float32), on_labels, in_reference)
