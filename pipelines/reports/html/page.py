"""A page: its one sentence, its facts, its sections."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.reports.html.blocks import Block, Tone, check_tone


@dataclass(frozen=True)
class Verdict:
    """The one sentence at the top of a page, and what more there is to say of it."""

    tone: Tone
    sentence: str
    detail: str = ""

    def __post_init__(self) -> None:
        check_tone(self.tone)


@dataclass(frozen=True)
class Fact:
    """A named value of the first screen."""

    name: str
    value: str
    note: str = ""
    tone: Tone = "neutral"

    def __post_init__(self) -> None:
        check_tone(self.tone)


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading. `id` names it in links: small letters, digits and hyphens."""

    title: str
    id: str
    blocks: Sequence[Block]
    lead: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", self.id):
            raise ValueError(f"section id {self.id!r} is not of small letters, digits and hyphens")


@dataclass(frozen=True)
class Page:
    """All that a page says. `kicker`: the few words above the title; `footer`: lines at the end."""

    title: str
    kicker: str
    verdict: Verdict
    facts: Sequence[Fact]
    sections: Sequence[Section]
    footer: Sequence[str] = ()

    def __post_init__(self) -> None:
        ids = [section.id for section in self.sections]
        if len(set(ids)) < len(ids):
            raise ValueError(f"section ids are not unique: {', '.join(ids)}")
