"""What a scan's summary tells of consensus and of the reference."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ood_core.consensus.agreement import Agreement
from ood_core.consensus.base import Base
from ood_core.consensus.reference import ReferenceSums
from ood_core.methods import Consensus, Method
from pipelines.consensus.asked import Asked
from pipelines.consensus.checks import ENOUGH
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.verdict_summary import verdict_summary
from pipelines.storage import Directory

LABELS_NAMED = 5
LARGE, RARER = 0.1, 4
"""A label with this share of the scan, and this many times the reference's share of it, is warned of."""


def consensus_summary(output: Directory, methods: Mapping[str, Method], labels: Sequence[str]) -> dict[str, Any]:
    """What was found, by method; empty if there is nothing yet. `labels`: the bank's, ID labels first."""
    files = ConsensusFiles(output, "")
    asked = Asked.of(methods, files.has_verdicts())
    chains = files.chains(asked) if asked else {}
    if not asked or not chains or not all(chain.finished for chain in chains.values()):
        return {}
    known = asked.known(chains, files.told())
    found = {}
    if known.consensus and asked.smoothing:
        found["consensus"] = _of_consensus(known.consensus, asked.smoothing, labels)
    of_reference = files.reference()
    if known.with_reference and of_reference:
        found["reference"] = _of_reference(known.with_reference, *of_reference, labels)
        if referring := asked.methods.get("reference"):
            found["reference"] |= {"base": referring.base}
    if known.with_verdicts and known.told:
        found["verdicts"] = verdict_summary(files, known.with_verdicts, known.told)
    return found


def _of_consensus(agreement: Agreement, chosen: Consensus, labels: Sequence[str]) -> dict[str, Any]:
    """How far images agree with their neighbours, and what that was found with."""
    crowded = {}
    if chosen.crowding:
        sums, images = agreement.base.label_sums, agreement.images
        shares = [
            {"label": labels[label], "images": int(sums.counts[label]), "crowd": float(sums.crowd(images)[label])}
            for label in _first(sums.counts)
        ]
        crowded = {"crowded_labels": shares}
    return {
        "base": chosen.base,
        "agreement": agreement.agreement,
        "images": agreement.images,
        "anchors": agreement.anchor_count,
        "log_odds": {"mean": agreement.mean, "standard_deviation": agreement.deviation},
        **crowded,
    }


def _of_reference(base: Base, sums: ReferenceSums, unusable: int, labels: Sequence[str]) -> dict[str, Any]:
    """How large the reference is, and what of the scan it does not know."""
    images, uncovered, unlike = base.label_counts
    count = max(base.images, 1)
    return {
        "images": sums.images,
        "unusable": unusable,
        "in_scan_too": base.in_reference,
        "not_covered": float(uncovered.sum() / count),
        "unlike": float(unlike.sum() / count),
        "uncovered_labels": [
            {"label": labels[label], "images": int(images[label]), "not_covered": int(uncovered[label])}
            for label in _first(uncovered)
        ],
        "rarer_labels": [
            {
                "label": labels[label],
                "share_of_scan": float(images[label] / count),
                "share_of_reference": float(sums.nearest[label] / sums.images),
            }
            for label in _first(np.where(_is_rarer(images, sums), images, 0))
        ],
    }


def _first(counts: np.ndarray) -> list[int]:
    """The labels with the largest counts above 0."""
    order = np.argsort(-counts, kind="stable")[:LABELS_NAMED]
    return [label for label in order.tolist() if counts[label]]


def _is_rarer(images: np.ndarray, sums: ReferenceSums) -> np.ndarray:
    """Which labels have a large share of the scan, and little of the reference."""
    in_scan, in_reference = images / max(images.sum(), 1), sums.nearest / max(sums.images, 1)
    return (in_scan >= LARGE) & (in_scan >= RARER * in_reference)


def reference_remarks(learned: Mapping[str, Any]) -> Iterator[str]:
    """What the caller should know of the reference, a line each. `learned`: what the summary tells."""
    if found := learned.get("reference"):
        labels = ", ".join(row["label"] for row in found["uncovered_labels"])
        yield (
            f"reference: {found['images']} images; {found['not_covered']:.1%} of the scan not covered"
            f"{f' (most of it near {labels})' if labels else ''}, {found['unlike']:.1%} unlike it"
        )
        if found["unusable"]:
            yield f"reference: {found['unusable']} of its images could not be read or embedded, and say nothing"
        if found["images"] < ENOUGH:
            yield f"reference: {found['images']} images are few; {ENOUGH} and more say something"
        if found["in_scan_too"]:
            yield f"reference: {found['in_scan_too']} images of the scan are in it too, which speaks for them"
        for label in found["rarer_labels"]:
            yield (
                f"reference: {label['label']!r} is nearest to {label['share_of_scan']:.0%} of the scan and "
                f"{label['share_of_reference']:.0%} of the reference: if these images belong, they are scored too low; "
                "give a reference with their share, or leave it out"
            )
