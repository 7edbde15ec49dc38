"""`oodscan labels diff`: how two label banks differ, and why negative labels are in one only. Free of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ood_core.labels import LabelBank
from pipelines.reports.labels.absent import REASONS, Absent, Side, absent
from pipelines.reports.labels.counts import STAGES, StageCounts, counted, example_table, most_shown
from pipelines.reports.labels.show import listed, settings
from pipelines.reports.labels.vectors import Vectors, embeddings, image_embeddings, orders_differing
from pipelines.reports.tables import Report, Table
from pipelines.storage import Directory

A, B = "A", "B"


@dataclass(frozen=True)
class Diff:
    """How two label banks differ; every pair is of A and of B.

    `settings`: those that differ; `ids`, `negatives`: the labels that only A, and only B, has; `most`: examples shown.
    """

    urls: tuple[str, str]
    content_hashes: tuple[str, str]
    settings: Mapping[str, tuple[Any, Any]]
    counts: tuple[StageCounts, StageCounts]
    ids: tuple[Sequence[str], Sequence[str]]
    negatives: tuple[Mapping[str, Absent], Mapping[str, Absent]]
    embeddings: Vectors | None
    image_embeddings: Vectors | None
    notes: Sequence[str]
    most: int | None

    @property
    def identical(self) -> bool:
        """Whether the banks are the same in all that scores depend on."""
        return self.content_hashes[0] == self.content_hashes[1]

    def report(self) -> Report:
        tables = [
            Table(
                "banks", ("bank", "URL", "content hash"), list(zip((A, B), self.urls, self.content_hashes, strict=True))
            )
        ]
        rows = [(name, *_told_apart(*values)) for name, values in self.settings.items()]
        tables += [Table("settings that differ", ("setting", A, B), rows)] if rows else []
        tables += [_stage_table(*self.counts)] if self.counts[0] != self.counts[1] else []
        for name, ids in zip((A, B), self.ids, strict=True):
            tables += [_id_table(name, ids, self.most)] if ids else []
        for name, other, reasons in zip((A, B), (B, A), self.negatives, strict=True):
            for reason, labels in reasons.items():
                heading = f"negative labels only in {name}; in {other} {REASONS[reason]}"
                tables.append(example_table(heading, labels.count, labels.examples))
        return Report("label banks A and B", tables, self.notes)

    def to_json(self) -> dict[str, Any]:
        return {
            "banks": _named(self.urls),
            "content_hashes": _named(self.content_hashes),
            "identical": self.identical,
            "settings": {name: _named(values) for name, values in self.settings.items()},
            "steps": _named(self.counts),
            "id_labels": _named([{"count": len(ids), "examples": list(ids[: self.most])} for ids in self.ids]),
            "negatives": _named([{name: one.to_json() for name, one in found.items()} for found in self.negatives]),
            "embeddings": self.embeddings and asdict(self.embeddings),
            "image_embeddings": self.image_embeddings and asdict(self.image_embeddings),
            "notes": list(self.notes),
        }


def diff(a: Directory, b: Directory, examples: int | None = None) -> Diff:
    """The difference between two label banks.

    `examples`: how many labels of each difference, default 5. Raises CallerError if one is no valid bank.
    """
    most = most_shown(examples)
    one, other = Side.open(A, a), Side.open(B, b)
    vectors, images = embeddings(one.bank, other.bank), image_embeddings(one.bank, other.bank)
    found = Diff(
        urls=(a.url, b.url),
        content_hashes=(one.bank.content_hash(), other.bank.content_hash()),
        settings=_differing(_chosen(one.bank), _chosen(other.bank)),
        counts=(one.counts, other.counts),
        ids=(_missing(one.ids, other.ids), _missing(other.ids, one.ids)),
        negatives=(absent(one, other, most), absent(other, one, most)),
        embeddings=vectors,
        image_embeddings=images,
        notes=(),
        most=most,
    )
    return replace(found, notes=_notes(found, one, other))


def _chosen(bank: LabelBank) -> dict[str, Any]:
    """The bank's settings, and the dimension and kind of its embeddings."""
    images = "none" if bank.image_embeddings is None else "of ID labels"
    return {**settings(bank.info), "dimension": bank.dim, "image embeddings": images}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*one, *other])
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def _missing(ids: Sequence[str], others: Sequence[str]) -> list[str]:
    known = set(others)
    return [label for label in ids if label not in known]


def _notes(found: Diff, one: Side, other: Side) -> list[str]:
    """Notes on what the tables do not show."""
    notes = [f"{side.files.called}: {line}" for side in (one, other) for line in side.discrepancy]
    if found.identical:
        same = not found.settings and found.counts[0] == found.counts[1]
        return ["The banks are identical." if same else "The banks are identical in all that scores depend on.", *notes]
    for what, vectors in (("embeddings", found.embeddings), ("image embeddings", found.image_embeddings)):
        notes += [vectors.described(what)] if vectors else []
    orders = orders_differing(one.bank, other.bank)
    return notes + [f"The {what} in both stand in another order, or not as often." for what in orders]


def _told_apart(one: Any, other: Any) -> tuple[str, str]:
    """A setting that differs, as text for each bank; of two lists only what the other lacks."""
    if isinstance(one, list) and isinstance(other, list):
        only = [value for value in one if value not in other], [value for value in other if value not in one]
        if not any(only):
            return f"the same {len(one):,}, in another order", f"the same {len(other):,}, in another order"
        return _list_cell(one, only[0]), _list_cell(other, only[1])
    return listed(one), listed(other)


def _list_cell(values: Sequence[Any], only: Sequence[Any]) -> str:
    return listed(values) if len(only) == len(values) else f"{len(values):,}, only here: {listed(only) or 'none'}"


def _stage_table(one: StageCounts, other: StageCounts) -> Table:
    rows = []
    for stage, heading in STAGES.items():
        for part in dict.fromkeys([*one.get(stage, {}), *other.get(stage, {})]):
            rows.append((heading, part, one.get(stage, {}).get(part), other.get(stage, {}).get(part)))
    return Table("steps", ("labels", "part", A, B), [row for row in rows if row[2] or row[3]])


def _id_table(name: str, ids: Sequence[str], most: int | None) -> Table:
    shown = ids[:most]
    return Table(
        counted(f"ID labels only in {name}", len(ids), len(shown)),
        ("label",) if shown else (),
        [(one,) for one in shown],
    )


def _named(values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip((A, B), values, strict=True))
