"""Checks a scan by its manifest and its listings, without reading a table."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.inputs.plan import Shard
from pipelines.scan_directory.layout import MANIFEST, SCORES, committed_sizes, shard_file
from pipelines.scan_directory.manifest import Manifest
from pipelines.storage import Directory


@dataclass(frozen=True)
class Told:
    """What the manifest tells: each shard's receipt, and the counts by status of all. `problems`: where it is wrong."""

    receipts: Mapping[str, Mapping[str, Any]]
    statuses: Counter[str]
    problems: list[str]

    def digest(self, shard: Shard) -> str | None:
        """The digest of a shard's score table, None if it has no receipt."""
        return self.receipts[shard.id]["digest"] if shard.id in self.receipts else None


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


def missing_files(output: Directory, names: Iterable[str]) -> Iterator[str]:
    """A line for each of the files that is not there. Lists their folders, however many they are."""
    listed: dict[str, set[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder not in listed:
            listed[folder] = set(output.names(folder))
        if file not in listed[folder]:
            yield f"{name} is missing"
