"""Checks a scan's memory: merges its shards' candidates once more, and compares with what is recorded."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from ood_core.memory import MemoryBank
from ood_core.methods import LearningMethod, learners_of
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.inputs.plan import Shard
from pipelines.memory.files import MemoryFiles, by_method, memory_table, snapshot_file
from pipelines.memory.orders import has_sequential, methods_with_memory
from pipelines.scan_directory.layout import CANDIDATES, EXTRA_NEGATIVES, INITIAL, VERDICTS, shard_file
from pipelines.storage import Directory
from pipelines.verify.tables import table_and_problems


def memory_problems(
    output: Directory, config: Scan | Rescore, shards: Sequence[Shard], fingerprint: str
) -> Iterator[str]:
    """What the memory of a scan lacks, what it holds of another scan, and whether it is that of its candidates."""
    tables, problems = _read(output, memory_files(config, shards), fingerprint)
    yield from problems
    if tables and not problems:
        offers = [table for name, table in tables.items() if name == INITIAL or name.startswith(CANDIDATES)]
        yield from _differences(methods_with_memory(config.methods()), offers, output, fingerprint)


def memory_files(config: Scan | Rescore, shards: Sequence[Shard]) -> list[str]:
    """The files of a finished scan's memory; none if it fills none."""
    methods = config.methods()
    learners = methods_with_memory(methods)
    if not learners or config.memory.freeze or has_sequential(methods):
        return []
    names = [shard_file(CANDIDATES, shard.id) for shard in shards]
    names += [INITIAL] if config.memory.uri else []
    names.append(snapshot_file(len(shards)))
    if any(chosen.inverts for chosen in learners.values()):
        names.append(EXTRA_NEGATIVES)
    if any(chosen.adapts for chosen in learners_of(methods).values()):
        names += [shard_file(VERDICTS, shard.id) for shard in shards]
    return names


def _read(output: Directory, names: Sequence[str], fingerprint: str) -> tuple[dict[str, pa.Table], list[str]]:
    tables, problems = {}, []
    for name in names:
        table, found = table_and_problems(output, name, fingerprint)
        problems += found
        if table is not None:
            tables[name] = table
    return tables, problems


def _differences(
    learners: Mapping[str, LearningMethod], offers: Sequence[pa.Table], output: Directory, fingerprint: str
) -> Iterator[str]:
    """A line for each method whose snapshot is not what these candidates come to."""
    dim = offers[0].schema.field("embedding").type.list_size if offers else 1
    snapshot = MemoryFiles(output, fingerprint, dim).snapshot()
    if snapshot is None:
        return
    for name, chosen in learners.items():
        recorded = by_method(snapshot.table, [name], dim)[name]
        last = [int(table["row"].to_numpy().max()) for table in (*offers, snapshot.table) if len(table)]
        rows = 1 + max(last, default=0)
        labels = rows - chosen.first_label_row  # as many as there can be rows of, whatever the bank has
        bank = MemoryBank(chosen.capacities(labels, labels, False), dim)
        for table in offers:
            bank.offer(by_method(table, [name], dim)[name])
        if not memory_table(name, bank.snapshot()).equals(memory_table(name, recorded)):
            yield f"{snapshot_file(snapshot.version)} is not what the candidates of {name} come to"
