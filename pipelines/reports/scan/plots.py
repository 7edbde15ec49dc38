"""Distributions of scores, binned for plots. Free of torch."""

from collections.abc import Mapping

import numpy as np

from ood_core.drift import Counted

BINS = 60


def binned(series: Mapping[str, Counted]) -> dict[str, tuple[list[float], list[float]]]:
    """Histograms of one range."""
    low, high = (pick([pick(one.values) for one in series.values()]) for pick in (np.min, np.max))
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    binned = {name: np.histogram(one.values, edges, weights=one.counts)[0] for name, one in series.items()}
    return {name: (edges.tolist(), counts.tolist()) for name, counts in binned.items()}
