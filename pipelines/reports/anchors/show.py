"""`oodscan anchors show`: which kinds of images belong least, by the anchors of consensus. Free of torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ood_core.labels import LabelBank
from ood_core.methods import score_column
from pipelines.consensus.files import ANCHORS
from pipelines.errors import CallerError
from pipelines.reports.anchors.anchors import Example, PerAnchor, examples
from pipelines.reports.anchors.labels import Nearest, nearest
from pipelines.reports.anchors.scan import Consented
from pipelines.reports.anchors.stored import SCORE, Agreed, Stored
from pipelines.reports.tables import Cell, Report, Table
from pipelines.scan_directory.columns import SHIFT
from pipelines.scan_directory.layout import CONSENSUS
from pipelines.scan_directory.record import reading
from pipelines.storage import Directory

TOP = 10
MEANINGS = {
    0.1: "an image's neighbours say nothing of its own score, and consensus leaves scores alone",
    0.5: "neighbours are scored somewhat alike, and consensus moves scores a little towards each other",
    1.0: "neighbours are scored alike, and consensus judges kinds of images as one",
}
"""Of an agreement, by the highest that has it."""


@dataclass(frozen=True)
class Anchor:
    """What is known of an anchor: of how many images it is the nearest, and means over these. `nearest`: labels, None
    without the label bank."""

    anchor: int
    images: int
    mean_base_score: float
    mean_consensus_score: float
    mean_shift: float
    nearest: Nearest | None
    examples: Sequence[Example]

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """A line an image or negative label; what is said of the anchor stands in the first one."""
        known, negatives = self.nearest, self.nearest.negatives if self.nearest else ()
        about = (self.anchor, self.images, self.mean_base_score, self.mean_consensus_score, self.mean_shift)
        for number in range(max(1, len(self.examples), len(negatives))):
            row: tuple[Cell, ...] = about if number == 0 else (None,) * len(about)
            if known:
                row = (*row, *((known.id_label.label, known.id_label.cosine) if number == 0 else (None, None)))
                row = (*row, *_cells(negatives, number, ("label", "cosine")))
            yield (*row, *_cells(self.examples, number, ("key", "shard", "score")))

    def to_json(self) -> dict[str, Any]:
        found = {name: value for name, value in asdict(self).items() if name not in ("nearest", "examples")}
        labels = asdict(self.nearest) if self.nearest else {"id_label": None, "negatives": None}
        return {
            **found,
            "nearest_id_label": labels["id_label"],
            "nearest_negatives": labels["negatives"],
            "examples": [asdict(one) for one in self.examples],
        }


@dataclass(frozen=True)
class Shown:
    """The consensus of a scan; `nearest_to_some`: how many anchors are an image's nearest; `lowest`: those shown."""

    scan: Consented
    agreed: Agreed
    anchors: int
    nearest_to_some: int
    lowest: Sequence[Anchor]
    notes: Sequence[str]

    @property
    def base(self) -> str:
        return self.scan.parameters.base

    @property
    def meaning(self) -> str:
        return next(said for most, said in MEANINGS.items() if self.agreed.agreement <= most)

    def report(self) -> Report:
        tables = [Table("what it is", ("", "value"), list(self._about().items()))]
        if self.scan.weights:
            heading = "how much neighbours counted for an image (consensus_weight, 0 to 0.97)"
            tables.append(Table(heading, ("quantile", "weight"), list(self.scan.weights.items())))
        return Report(f"anchors of scan {self.scan.directory.url}", [*tables, self._anchors()], self.notes)

    def to_json(self) -> dict[str, Any]:
        return {
            "scan": self.scan.directory.url,
            "label_bank": self.scan.recorded.config.labels,
            "base": self.base,
            "agreement": self.agreed.agreement,
            "meaning": self.meaning,
            "images": self.agreed.images,
            "anchors": self.anchors,
            "nearest_to_some": self.nearest_to_some,
            "consensus_weight": self.scan.weights,
            "most_out_of_place": [one.to_json() for one in self.lowest],
            "notes": list(self.notes),
        }

    def _about(self) -> Mapping[str, str]:
        return {
            "base method": self.base,
            "label bank": self.scan.recorded.config.labels,
            "images": f"{self.agreed.images:,}",
            "anchors": f"{self.anchors:,}, of which {self.nearest_to_some:,} are an image's nearest",
            "agreement c": f"{self.agreed.agreement:.3f}, the correlation of images' scores with their neighbours'",
            "which means": self.meaning,
        }

    def _anchors(self) -> Table:
        rows = [row for one in self.lowest for row in one.rows()]
        labelled = any(one.nearest for one in self.lowest)
        labels = ("nearest ID label", "its cosine", "nearest negatives", "their cosine") if labelled else ()
        means = (f"mean {self.base}", "mean consensus", "mean shift")
        header = ("anchor", "images", *means, *labels, "images of lowest score", "shard", "their score")
        heading = (
            "anchors most out of place: by lowest mean score by consensus (standard deviations of the log-odds of "
            f"{self.base}; 0 is the scan's mean)"
        )
        return Table(heading, header if rows else (), rows)


def show(directory: Directory, top: int = TOP) -> Shown:
    """The `top` anchors most out of place. Raises CallerError if there are none, or a table cannot be read."""
    if top < 0:
        raise CallerError(f"--top {top} is below 0; it is how many anchors to show")
    scan = Consented.read(directory)
    stored, notes = Stored(scan), list(_notes(scan))
    agreed, found = stored.agreed(), _counted(stored)
    if (images := int(found.images.sum())) != agreed.images:
        raise CallerError(
            f"SCAN {directory.url!r} cannot be read: its score tables hold {images:,} images with {SCORE}, and "
            f"{CONSENSUS} is of {agreed.images:,}"
        )
    lowest, bank = found.lowest(top), None
    try:
        bank = scan.recorded.bank()
    except CallerError as error:
        notes.append(f"No labels are shown beside the anchors: {error}.")
    shown = _anchors(stored, found, lowest, bank)
    return Shown(scan, agreed, len(stored.anchors), int((found.images > 0).sum()), shown, notes)


def _counted(stored: Stored) -> PerAnchor:
    """What the images of each anchor come to; checks that all of them have votes."""
    stored.check_votes()
    columns = [score_column(stored.scan.parameters.base), SHIFT]
    return PerAnchor.of(stored.scored(*columns), [*columns, SCORE], len(stored.anchors))


def _anchors(stored: Stored, found: PerAnchor, lowest: Sequence[int], bank: LabelBank | None) -> list[Anchor]:
    if not lowest:
        return []
    base, images_of = score_column(stored.scan.parameters.base), examples(stored.scored("key", "index"), lowest)
    with reading(stored.scan.directory.url, ANCHORS):
        labels = nearest(bank, stored.anchors[lowest]) if bank else [None] * len(lowest)
    return [
        Anchor(
            anchor=anchor,
            images=int(found.images[anchor]),
            mean_base_score=found.mean(base, anchor),
            mean_consensus_score=found.mean(SCORE, anchor),
            mean_shift=found.mean(SHIFT, anchor),
            nearest=near,
            examples=images_of[anchor],
        )
        for anchor, near in zip(lowest, labels, strict=True)
    ]


def _notes(scan: Consented) -> Iterator[str]:
    """What to know before any number."""
    if not scan.ended:
        yield "The scan has no summary yet, so there are no quantiles of how much neighbours counted."


def _cells(listed: Sequence[Any], number: int, names: Sequence[str]) -> tuple[Cell, ...]:
    """Values of the one of that number, blank if there are fewer."""
    return tuple(getattr(listed[number], name) if number < len(listed) else None for name in names)
