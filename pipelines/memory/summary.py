"""What a scan's methods have learned, for its summary."""

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as compute

from ood_core.labels import LabelBank
from ood_core.methods import Method
from pipelines.config.memory import Memory
from pipelines.memory.files import MemoryFiles
from pipelines.memory.orders import has_sequential, methods_with_memory
from pipelines.scan_directory.layout import EXTRA_NEGATIVES
from pipelines.storage import Directory


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
