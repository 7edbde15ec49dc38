"""How the scores of scans are spread, as plots. Free of torch."""

from collections.abc import Mapping

import numpy as np

from ood_core.drift import Counted
from pipelines.reports.html import plots
from pipelines.reports.html.blocks import Plot
from pipelines.reports.html.layers import Rule

BINS = 60


def spread(method: str, series: Mapping[str, Counted], threshold: float | None, description: str) -> Plot:
    """The scores by a method of some scans, each with at least one score, over one range; and the threshold, if any."""
    rules = [] if threshold is None else [Rule(threshold, f"threshold {threshold:.4g}")]
    return Plot(plots.histogram(binned(series), rules, f"score by {method}"), f"Scores by {method}", description)


def binned(series: Mapping[str, Counted]) -> dict[str, tuple[list[float], list[float]]]:
    """Histograms over the range of all series: edges, and how many scores lie between each two."""
    low, high = (pick([pick(one.values) for one in series.values()]) for pick in (np.min, np.max))
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    edges = np.linspace(low, high, BINS + 1)
    found = {name: np.histogram(one.values, edges, weights=one.counts)[0] for name, one in series.items()}
    return {name: (edges.tolist(), counts.tolist()) for name, counts in found.items()}
