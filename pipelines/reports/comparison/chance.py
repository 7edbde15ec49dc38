"""Whether chance alone explains that more images are flagged than before."""

from math import exp, lgamma

RARE = 0.05
"""What chance alone makes one find in fewer than one of twenty comparisons is not put down to chance."""
NEGLIGIBLE = 1e-12


def chance_of_more(before: tuple[int, int], now: tuple[int, int]) -> float:
    """The probability that as many images as now, or more, are flagged though none is likelier to be than before.

    `before`, `now`: how many are flagged, of how many images. Fisher's exact test, one-sided: all flagged images are
    dealt to both by lot. 1 where the share has not risen.
    """
    (flagged_before, images_before), (flagged, images) = before, now
    if flagged * images_before <= flagged_before * images:
        return 1.0
    both, others = flagged_before + flagged, images_before + images - flagged_before - flagged
    term = exp(_log_ways(both, flagged) + _log_ways(others, images - flagged) - _log_ways(both + others, images))
    found, least = term, term * NEGLIGIBLE
    for number in range(flagged, min(both, images)):  # each term is smaller than the one before
        term *= (both - number) * (images - number) / ((number + 1) * (others - images + number + 1))
        found += term
        if term <= least:
            break
    return min(found, 1.0)


def _log_ways(of: int, chosen: int) -> float:
    """The logarithm of the number of ways to choose so many of them."""
    return lgamma(of + 1) - lgamma(chosen + 1) - lgamma(of - chosen + 1)
