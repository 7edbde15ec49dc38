"""What a scan remembers of its images: bounded, mergeable, the same whatever the order they come in."""

from ood_core.memory.bank import Bounds, Candidates, MemoryBank, Offers
from ood_core.memory.gate import Gate

__all__ = ["Bounds", "Candidates", "Gate", "MemoryBank", "Offers"]
