"""Is a scan's memory what its shards have offered? Merged once more from storage, and compared."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from ood_core.memory import MemoryBank
from ood_core.memory.rows import adaneg_capacities, interneg_capacities
from ood_core.methods import AdaNeg, InterNeg
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.inputs.plan import Shard
from pipelines.memory.files import CARRIED, EXTRA_NEGATIVES, MemoryFiles, by_method, memory_table
from pipelines.memory.step import VERDICTS, adapts, is_in_order, learners_of
from pipelines.scan_directory.layout import CANDIDATES, MEMORY, part_name
from pipelines.storage import Directory
from pipelines.verify.tables import checked


def memory_problems(output: Directory, config: Scan | Rescore, shards: Sequence[Shard], expected: str) -> Iterator[str]:
    """What the memory of a scan lacks, or holds of another, and whether it is that of its shards' candidates."""
    methods = config.methods()
    learners = {**learners_of(methods), **learners_of(methods, "streaming")}
    if not learners or config.memory.freeze or is_in_order(methods):
        return
    names = [f"{CANDIDATES}/{part_name(shard.id)}" for shard in shards]
    offers = names + ([f"{MEMORY}/{CARRIED}"] if config.memory.uri else [])
    names = [*offers, f"{MEMORY}/snapshot-{len(shards)}.parquet"]
    if "interneg" in learners:
        names.append(f"{MEMORY}/{EXTRA_NEGATIVES}")
    if adapts(learners_of(methods)):
        names += [f"{MEMORY}/{VERDICTS}/{part_name(shard.id)}" for shard in shards]
    tables, problems = _read(output, names, expected)
    yield from problems
    if not problems:
        yield from _differences(learners, [tables[name] for name in offers], output, expected)


def _read(output: Directory, names: Sequence[str], expected: str) -> tuple[dict[str, pa.Table], list[str]]:
    tables, problems = {}, []
    for name in names:
        table, found = checked(output, name, expected)
        problems += found
        if table is not None:
            tables[name] = table
    return tables, problems


def _differences(
    learners: Mapping[str, AdaNeg | InterNeg], offers: Sequence[pa.Table], output: Directory, expected: str
) -> Iterator[str]:
    dim = offers[0].schema.field("embedding").type.list_size if offers else 1
    snapshot = MemoryFiles(output, expected, dim).snapshot()
    if snapshot is None:
        return
    for name, chosen in learners.items():
        recorded = by_method(snapshot.table, [name], dim)[name]
        rows = [int(table["row"].to_numpy().max()) for table in (*offers, snapshot.table) if len(table)]
        bank = _empty(chosen, 1 + max(rows, default=0), dim)
        for table in offers:
            bank.offer(by_method(table, [name], dim)[name])
        if not memory_table(name, bank.snapshot()).equals(memory_table(name, recorded)):
            yield f"{MEMORY}/snapshot-{snapshot.version}.parquet is not what the candidates of {name} come to"


def _empty(chosen: AdaNeg | InterNeg, rows: int, dim: int) -> MemoryBank:
    if isinstance(chosen, AdaNeg):
        return MemoryBank(adaneg_capacities(chosen, rows), dim)
    return MemoryBank(interneg_capacities(chosen, rows - 1, False), dim)
