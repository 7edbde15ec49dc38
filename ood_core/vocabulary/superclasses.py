"""CSP's superclass phrases: an adjective before a noun that says next to nothing (arXiv 2410.08611; METHODS.md §4)."""

import hashlib

SUPERCLASSES = (
    "environment",
    "space",
    "object",
    "scene",
    "place",
    "item",
    "area",
    "view",
    "thing",
    "pattern",
    "structure",
    "landscape",
    "vista",
    "creature",
)


def superclass_phrase(adjective: str, seed: int = 0) -> str:
    """The adjective with one of the 14 nouns, drawn by (seed, adjective): the same on every machine."""
    drawn = hashlib.sha256(f"{seed}:{adjective}".encode()).digest()
    return f"{adjective} {SUPERCLASSES[int.from_bytes(drawn[:8], 'big') % len(SUPERCLASSES)]}"
