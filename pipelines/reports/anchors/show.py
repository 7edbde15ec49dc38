"""`oodscan anchors show`: which kinds of images belong least, by the anchors of consensus. Free of torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ood_core.labels import LabelBank
from ood_core.methods import score_column
from pipelines.consensus.summary import reference_remarks
from pipelines.errors import CallerError
from pipelines.reports.anchors.anchors import AnchorSums, Example, lowest_images
from pipelines.reports.anchors.labels import NearestLabels, nearest_labels
from pipelines.reports.anchors.reference import reference_tables
from pipelines.reports.anchors.scan import ConsensusScan
from pipelines.reports.anchors.stored import SCORE, FinalAgreement, StoredConsensus
from pipelines.reports.scan_inputs import bank_or_note, check_top
from pipelines.reports.tables import Cell, Report, Table
from pipelines.scan_directory.columns import SHIFT
from pipelines.scan_directory.layout import ANCHORS, CONSENSUS
from pipelines.scan_directory.record import reading
from pipelines.storage import Directory

TOP = 10
"""How many anchors are shown unless `--top` says otherwise."""
MEANINGS = {
    0.1: "an image's neighbours say nothing of its own score, and consensus leaves scores alone",
    0.5: "neighbours are scored somewhat alike, and consensus moves scores a little towards each other",
    1.0: "neighbours are scored alike, and consensus judges kinds of images as one",
}
"""What an agreement means, by the highest agreement of which it is true."""


@dataclass(frozen=True)
class Anchor:
    """An anchor as the report shows it: its images, means of their scores, and labels.

    `images`: how many images it is the nearest anchor of; the means are over these, higher = more in-distribution.
    `labels`: the labels nearest to it, None without the label bank. `examples`: its images of lowest score.
    """

    anchor: int
    images: int
    mean_base_score: float
    mean_consensus_score: float
    mean_shift: float
    labels: NearestLabels | None
    examples: Sequence[Example]

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """The table rows of the anchor: one for each example or negative label; its own values stand in the first."""
        known, negatives = self.labels, self.labels.negatives if self.labels else ()
        about = (self.anchor, self.images, self.mean_base_score, self.mean_consensus_score, self.mean_shift)
        for number in range(max(1, len(self.examples), len(negatives))):
            row: tuple[Cell, ...] = about if number == 0 else (None,) * len(about)
            if known:
                row = (*row, *((known.id_label.label, known.id_label.cosine) if number == 0 else (None, None)))
                row = (*row, *_cells(negatives, number, ("label", "cosine")))
            yield (*row, *_cells(self.examples, number, ("key", "shard", "score")))

    def to_json(self) -> dict[str, Any]:
        """The anchor as JSON; without the label bank its nearest labels are null."""
        found = {name: value for name, value in asdict(self).items() if name not in ("labels", "examples")}
        labels = asdict(self.labels) if self.labels else {"id_label": None, "negatives": None}
        return {
            **found,
            "nearest_id_label": labels["id_label"],
            "nearest_negatives": labels["negatives"],
            "examples": [asdict(one) for one in self.examples],
        }


@dataclass(frozen=True)
class AnchorReport:
    """The report on a scan's anchors.

    `anchors`: how many there are; `nearest_to_some`: how many of them are the nearest of an image; `lowest`: those of
    lowest mean score, which are shown; `notes`: what to know before any number.
    """

    scan: ConsensusScan
    agreement: FinalAgreement
    anchors: int
    nearest_to_some: int
    lowest: Sequence[Anchor]
    notes: Sequence[str]

    @property
    def base(self) -> str:
        """The name of the method that consensus smooths."""
        return self.scan.parameters.base

    @property
    def meaning(self) -> str:
        """What the agreement means, in words."""
        return next(said for most, said in MEANINGS.items() if self.agreement.correlation <= most)

    def report(self) -> Report:
        """The report as tables."""
        tables = [Table("what it is", ("", "value"), list(self._about().items()))]
        if self.scan.weights:
            heading = "how much neighbours counted for an image (consensus_weight, 0 to 0.97)"
            tables.append(Table(heading, ("quantile", "weight"), list(self.scan.weights.items())))
        if self.scan.reference:
            tables += reference_tables(self.scan.reference)
        return Report(f"anchors of scan {self.scan.directory.url}", [*tables, self._anchors()], self.notes)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "scan": self.scan.directory.url,
            "label_bank": self.scan.record.config.labels,
            "base": self.base,
            "agreement": self.agreement.correlation,
            "meaning": self.meaning,
            "images": self.agreement.images,
            "anchors": self.anchors,
            "nearest_to_some": self.nearest_to_some,
            "consensus_weight": self.scan.weights,
            "reference": self.scan.reference,
            "most_out_of_place": [one.to_json() for one in self.lowest],
            "notes": list(self.notes),
        }

    def _about(self) -> Mapping[str, str]:
        """What the consensus is, in a few named values."""
        correlation = self.agreement.correlation
        return {
            "base method": self.base,
            "label bank": self.scan.record.config.labels,
            "images": f"{self.agreement.images:,}",
            "anchors": f"{self.anchors:,}, of which {self.nearest_to_some:,} are an image's nearest",
            "agreement c": f"{correlation:.3f}, the correlation of images' scores with their neighbours'",
            "which means": self.meaning,
        }

    def _anchors(self) -> Table:
        """The anchors of lowest mean score as a table; a heading only if there are none."""
        rows = [row for one in self.lowest for row in one.rows()]
        labelled = any(one.labels for one in self.lowest)
        labels = ("nearest ID label", "its cosine", "nearest negatives", "their cosine") if labelled else ()
        means = (f"mean {self.base}", "mean consensus", "mean shift")
        header = ("anchor", "images", *means, *labels, "images of lowest score", "shard", "their score")
        heading = (
            "anchors most out of place: by lowest mean score by consensus (standard deviations of the log-odds of "
            f"{self.base}; 0 is the scan's mean)"
        )
        return Table(heading, header if rows else (), rows)


def show(directory: Directory, top: int = TOP) -> AnchorReport:
    """The report on the anchors of a scan, of which the `top` with the lowest mean score by consensus are shown.

    Raises CallerError if the scan has no finished consensus, or a table cannot be read.
    """
    check_top(top, "anchors to show")
    scan = ConsensusScan.read(directory)
    stored = StoredConsensus(scan)
    agreement, sums = stored.agreement(), _sums(stored)
    if (images := int(sums.images.sum())) != agreement.images:
        raise CallerError(
            f"SCAN {directory.url!r} cannot be read: its score tables hold {images:,} images with {SCORE}, and "
            f"{CONSENSUS} is of {agreement.images:,}"
        )
    bank, without_bank = bank_or_note(scan.record, "No labels are shown beside the anchors")
    shown, with_images = _anchors(stored, sums, bank, top), int((sums.images > 0).sum())
    notes = [*_notes(scan), *reference_remarks({"reference": scan.reference}), *without_bank]
    return AnchorReport(scan, agreement, len(stored.anchors), with_images, shown, notes)


def _sums(stored: StoredConsensus) -> AnchorSums:
    """The sums over the images of each anchor. Raises CallerError if a shard lacks votes."""
    stored.check_votes()
    columns = [score_column(stored.scan.parameters.base), SHIFT]
    return AnchorSums.of(stored.scored(*columns), [*columns, SCORE], len(stored.anchors))


def _anchors(stored: StoredConsensus, sums: AnchorSums, bank: LabelBank | None, top: int) -> list[Anchor]:
    """The `top` anchors of lowest mean score by consensus, with labels where there is a bank."""
    lowest = sums.lowest(top)
    if not lowest:
        return []
    base, examples = score_column(stored.scan.parameters.base), lowest_images(stored.scored("key", "index"), lowest)
    with reading(stored.scan.directory.url, ANCHORS):
        labels = nearest_labels(bank, stored.anchors[lowest]) if bank else [None] * len(lowest)
    return [
        Anchor(
            anchor=anchor,
            images=int(sums.images[anchor]),
            mean_base_score=sums.mean(base, anchor),
            mean_consensus_score=sums.mean(SCORE, anchor),
            mean_shift=sums.mean(SHIFT, anchor),
            labels=near,
            examples=examples[anchor],
        )
        for anchor, near in zip(lowest, labels, strict=True)
    ]


def _notes(scan: ConsensusScan) -> list[str]:
    """The notes on what the scan's directory lacks."""
    if scan.ended:
        return []
    return ["The scan has no summary yet, so there are no quantiles of how much neighbours counted."]


def _cells(listed: Sequence[Any], number: int, names: Sequence[str]) -> tuple[Cell, ...]:
    """The named fields of the object at place `number` of a list; blank cells if the list is shorter."""
    return tuple(getattr(listed[number], name) if number < len(listed) else None for name in names)
