"""Verdicts: whether single images belong, as people or models have said; kept with a scan, and given to the next."""
