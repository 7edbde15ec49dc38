"""What a scan's methods ask for of the images' neighbours, and the chains of sums that come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ood_core.consensus.agreement import Agreement
from ood_core.consensus.base import NO_TERMS, Base, Terms
from ood_core.consensus.reference import ReferenceSums
from ood_core.consensus.votes import LabelVotes, Votes
from ood_core.methods import Consensus, Method, Reference, Verdicts, takes_verdicts, uses_reference
from pipelines.consensus.tables import LOG_ODDS, OTHER_LOG_ODDS
from pipelines.consensus.told import Told

ChainName = Literal["consensus", "reference", "verdicts"]
"""The methods that go by neighbours; each one's sums over all images, one after the other, are a chain."""
Chain = Agreement | Base
NAMES: tuple[ChainName, ...] = ("consensus", "reference", "verdicts")
COLUMNS = (LOG_ODDS, *OTHER_LOG_ODDS)


@dataclass(frozen=True)
class Known:
    """What has been summed up over all images of a scan.

    `consensus`: None if it was not asked for; `bases`: those that the methods `reference` and `verdicts` have changed,
    as far as they were asked for; `told`: what verdicts say, None if there are none.
    """

    consensus: Agreement | None
    bases: Mapping[ChainName, Base]
    told: Told | None = None

    @property
    def with_reference(self) -> Base | None:
        """A base that has taken the reference in, whichever; None if none has."""
        return next((base for base in self._all if base.terms.reference), None)

    @property
    def with_verdicts(self) -> Base | None:
        """A base that has taken verdicts in, whichever; None if none has."""
        return next((base for base in self._all if base.terms.verdicts), None)

    @property
    def _all(self) -> list[Base]:
        return [*self.bases.values(), *([self.consensus.base] if self.consensus else [])]

    def by(self, reference: ReferenceSums) -> "Known":
        """The same, but that other images stand for what belongs."""

        def told(terms: Terms) -> Terms:
            return replace(terms, reference=reference) if terms.reference else terms

        consensus = self.consensus and replace(self.consensus, terms=told(self.consensus.terms))
        return Known(consensus, {name: replace(base, terms=told(base.terms)) for name, base in self.bases.items()})


@dataclass(frozen=True)
class Asked:
    """What is asked for. `methods`: those that go by neighbours, one at least; `has_verdicts`: if they take any."""

    methods: Mapping[ChainName, Consensus | Reference | Verdicts]
    takes_reference: bool
    has_verdicts: bool

    @classmethod
    def of(cls, methods: Mapping[str, Method], has_verdicts: bool) -> "Asked | None":
        """What these methods ask for; None if it is nothing."""
        found: dict[ChainName, Consensus | Reference | Verdicts] = {}
        for name in NAMES:
            if isinstance(chosen := methods.get(name), Consensus | Reference | Verdicts):
                found[name] = chosen
        return cls(found, uses_reference(methods), has_verdicts and takes_verdicts(methods)) if found else None

    @property
    def smoothing(self) -> Consensus | None:
        """The parameters of consensus, if it is asked for."""
        chosen = self.methods.get("consensus")
        return chosen if isinstance(chosen, Consensus) else None

    @property
    def parameters(self) -> Consensus:
        """How anchors are fitted and voted on."""
        return self.smoothing or Consensus(base=self.bases[0])

    @property
    def bases(self) -> tuple[str, ...]:
        """The methods whose scores are looked at, by the columns of log-odds in `columns`."""
        return tuple(dict.fromkeys(chosen.base for chosen in self.methods.values() if chosen.base))

    @property
    def columns(self) -> dict[str, str]:
        """The method whose log-odds each column of a table of votes holds."""
        return dict(zip(COLUMNS, self.bases, strict=False))

    @property
    def on_labels(self) -> bool:
        """Whether images vote on ID labels too."""
        return self.takes_reference or bool(self.smoothing and self.smoothing.crowding)

    @property
    def chains(self) -> tuple[ChainName, ...]:
        """The chains of sums: of the others only if consensus has not the same base with the same added to it."""
        shared = self._added("consensus") if self.smoothing else None
        return tuple(name for name in self.methods if name == "consensus" or self._added(name) != shared)

    def column(self, chain: ChainName) -> str:
        """The column of the log-odds that a chain sums up."""
        return next(column for column, base in self.columns.items() if base == self.methods[chain].base)

    def start(
        self,
        chain: ChainName,
        anchor_count: int,
        label_count: int,
        reference: ReferenceSums | None,
        told: Told | None,
    ) -> Chain:
        """A chain before its first sums. `told`: what verdicts say; there must be some if there are any."""
        _, with_reference, crowding, with_verdicts = self._added(chain)
        terms = Terms(
            reference if with_reference else None,
            crowding,
            label_count,
            told.sums if told and with_verdicts else None,
            self.parameters.reach,
        )
        terms = terms if terms else NO_TERMS
        if chain == "consensus" and self.smoothing:
            return Agreement(self.smoothing, anchor_count, terms=terms)
        return Base(anchor_count, terms)

    def steps(self, chain: ChainName) -> int:
        """How many sums a chain has."""
        nothing = np.zeros(0, np.int64)
        reference, told = ReferenceSums(0, nothing, nothing, nothing), Told.nothing(0) if self.has_verdicts else None
        return self.start(chain, 0, 0, reference, told).steps

    def known(self, chains: Mapping[ChainName, Chain], told: Told | None) -> Known:
        """What the chains have come to."""
        agreement = chains.get("consensus")
        consensus = agreement if isinstance(agreement, Agreement) else None
        bases: dict[ChainName, Base] = {}
        for name in self.methods:
            chain = chains.get(name)
            if name != "consensus" and (base := chain or (consensus.base if consensus else None)):
                bases[name] = base if isinstance(base, Base) else base.base
        return Known(consensus, bases, told if self.has_verdicts else None)

    def _added(self, name: ChainName) -> tuple[str | None, bool, float, bool]:
        """A method's base, and what it adds to it: a reference, crowding, verdicts."""
        chosen = self.methods[name]
        if isinstance(chosen, Consensus):
            return chosen.base, bool(chosen.reference), chosen.crowding, self.has_verdicts and chosen.verdicts
        return chosen.base, name == "reference", 0.0, name == "verdicts" and self.has_verdicts


def no_votes(asked: Asked) -> Votes:
    """The votes of no images."""
    nearest = asked.parameters.nearest
    places, weights = np.empty((0, nearest), np.int32), np.empty((0, nearest), np.float32)
    in_reference = np.empty(0, bool) if asked.takes_reference else None
    on_labels = LabelVotes(places, weights) if asked.on_labels else None
    return Votes(np.empty(0), places, weights, np.empty(0, np.float32), on_labels, in_reference)
