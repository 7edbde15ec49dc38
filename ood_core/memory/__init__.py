"""What a scan remembers of its images: bounded, mergeable, the same whatever the order they come in."""

from ood_core.memory.bank import Candidates, MemoryBank

__all__ = ["Candidates", "MemoryBank"]
