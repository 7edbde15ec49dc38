"""Memory: the images that a method remembers, bounded, mergeable, and the same in whatever order they come."""

from ood_core.memory.bank import Bounds, Candidates, MemoryBank, Offers
from ood_core.memory.gate import Gate

__all__ = ["Bounds", "Candidates", "Gate", "MemoryBank", "Offers"]
