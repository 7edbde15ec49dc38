"""What methods have learned from the whole input, as the learning step leaves it in the scan directory."""

from collections.abc import Iterable, Mapping

from ood_core.methods import LearningMethod
from pipelines.memory.files import Memories, MemoryFiles, by_method, candidates_of
from pipelines.scan_directory.layout import EXTRA_NEGATIVES


def learned_memories(
    files: MemoryFiles, learners: Mapping[str, LearningMethod], shards: Iterable[str]
) -> Memories | None:
    """What the scorer of each method is given, None if it is not learned from all of the shards yet.

    Of a method that turns images into words that is the extra negatives, else the memory itself.
    """
    snapshot = files.snapshot()
    if snapshot is None or not snapshot.shards.issuperset(shards):
        return None
    found = by_method(snapshot.table, learners, files.dim)
    for name, chosen in learners.items():
        if chosen.inverts:
            if not files.output.exists(EXTRA_NEGATIVES):
                return None
            found[name] = candidates_of(files.get(EXTRA_NEGATIVES), files.dim)
    return found
