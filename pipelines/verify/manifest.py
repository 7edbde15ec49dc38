"""Checks a scan by its manifest and its listings, without reading a table."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ood_core.methods import consensus_of, learners_of
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.inputs.plan import Shard
from pipelines.memory.files import snapshot_file
from pipelines.memory.orders import has_sequential, methods_with_memory
from pipelines.scan_directory.layout import (
    ANCHORS,
    CANDIDATES,
    EMBEDDINGS,
    EXTRA_NEGATIVES,
    MANIFEST,
    SCORES,
    VERDICTS,
    VOTES,
    committed,
    committed_sizes,
    shard_file,
)
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import digest_of
from pipelines.storage import Directory


@dataclass(frozen=True)
class Told:
    """What the manifest tells: each shard's receipt, and the counts by status of all. `problems`: where it is wrong."""

    receipts: Mapping[str, Mapping[str, Any]]
    statuses: Counter[str]
    problems: list[str]

    def differences(self, output: Directory, shard: Shard) -> Iterator[str]:
        """What of a shard's file is not as it was committed. Reads the file."""
        told = self.receipts.get(shard.id)
        if told and digest_of(output.read(shard_file(SCORES, shard.id))) != told["digest"]:
            yield f"{shard_file(SCORES, shard.id)} is not the file that was committed"


def manifest_problems(output: Directory, shards: Sequence[Shard], fingerprint: str) -> Told:
    """Compares the manifest with the plan and with the files that are there."""
    tally, sizes = Manifest(output, fingerprint).told(), committed_sizes(output)
    receipts = {receipt["shard"]: receipt for table in tally.receipts for receipt in table.to_pylist()}
    problems = []
    for shard in shards:
        name, told = shard_file(SCORES, shard.id), receipts.get(shard.id)
        if shard.id not in sizes:
            problems.append(f"{name} is missing")
        elif told is None:
            problems.append(f"{MANIFEST}/ has no receipt of {name}")
        elif told["size"] != sizes[shard.id]:
            problems.append(f"{name} has {sizes[shard.id]} bytes, and {told['size']} were committed")
        elif shard.rows is not None and told["records"] != shard.rows:
            problems.append(f"{shard.id}: there are {told['records']} rows, and {shard.rows} are planned")
    return Told(receipts, tally.statuses, problems)


def missing_files(output: Directory, config: Scan | Rescore, shards: Sequence[Shard]) -> Iterator[str]:
    """The files beside the score tables that a scan of these methods has, and that are not there."""
    methods, folders, files = config.methods(), [], []
    learners = methods_with_memory(methods)
    if isinstance(config, Scan) and config.embeddings:
        folders.append(EMBEDDINGS)
    if learners and not (config.memory.freeze or has_sequential(methods)):
        folders.append(CANDIDATES)
        files.append(snapshot_file(len(shards)))
        if any(chosen.inverts for chosen in learners.values()):
            files.append(EXTRA_NEGATIVES)
        if any(chosen.adapts for chosen in learners_of(methods).values()):
            folders.append(VERDICTS)
    if consensus_of(methods) is not None:
        folders.append(VOTES)
        files.append(ANCHORS)
    for folder in folders:
        there = committed(output, folder)
        files += [shard_file(folder, shard.id) for shard in shards if shard.id not in there]
    yield from (f"{name} is missing" for name in files if not output.exists(name))
