"""What a scan's methods have learned, for its summary."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.compute as compute

from ood_core.labels import LabelBank
from ood_core.methods import Method
from pipelines.config.memory import Memory
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.memory.files import MemoryFiles
from pipelines.memory.orders import has_sequential, methods_with_memory
from pipelines.memory.rounds import RoundsFiles, choosers
from pipelines.scan_directory.layout import EXTRA_NEGATIVES
from pipelines.storage import Directory

LABELS_NAMED = 10


def rounds_summary(output: Directory, config: Scan | Rescore, bank: LabelBank) -> dict[str, Any]:
    """What each round has found, and the first of the labels that are scored by; empty if no method asks for rounds."""
    found: dict[str, Any] = {}
    for name, chosen in choosers(config).items():
        known = RoundsFiles(output, "").known(chosen)
        if known and known.finished:
            labels = [bank.texts[bank.id_count + row] for row in known.chosen[:LABELS_NAMED].tolist()]
            found[name] = {"rounds": [vars(each) for each in known.rounds], "labels": labels}
    return found


def rounds_remarks(learned: Mapping[str, Any]) -> Iterator[str]:
    """What the caller should know of the rounds. `learned`: what the summary tells."""
    for name, found in learned.items():
        for number, each in enumerate(found.get("rounds", ()), 1):
            for side, others in (("ood", "out of"), ("id", "in")):
                if not each[f"confident_{side}"]:
                    yield (
                        f"{name}: in round {number} no image was surely {others} distribution, so that it went by what "
                        f"it starts with: {'noise' if side == 'ood' else 'the ID labels alone'}"
                    )


def learned_summary(
    output: Directory, methods: Mapping[str, Method], memory: Memory, bank: LabelBank
) -> dict[str, Any]:
    """How many images each method remembers in how many rows; of InterNeg also its extra negatives, and where the mean
    images of the ID labels are from. Empty if nothing is learned."""
    learners = methods_with_memory(methods)
    if not learners or memory.freeze or has_sequential(methods):
        return {}
    files = MemoryFiles(output, "", bank.dim)
    images = files.rows()
    if images is None:
        return {}
    found: dict[str, Any] = {}
    for name, chosen in learners.items():
        rows = images.filter(compute.field("method") == name)["row"]
        found[name] = {"images": len(rows), "rows": len(rows.unique())}
        if chosen.inverts:
            source = bank.info.criterion.get("id_images", "bank") if bank.image_embeddings is not None else "memory"
            found[name] |= {"extra_negatives": len(files.get(EXTRA_NEGATIVES)), "id_images": source}
    return found
