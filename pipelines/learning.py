"""The first pass of the methods that learn: every shard's candidates, merged into one memory, whatever the order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from ood_core.labels import LabelBank
from ood_core.memory import Candidates, MemoryBank
from ood_core.memory.rows import adaneg_capacities, interneg_capacities
from ood_core.methods import AdaNeg, InterNeg, Parameters, is_sequential
from pipelines.commit import FINGERPRINT_KEY, Committer, committed, part_name
from pipelines.config import Rescore
from pipelines.errors import first_line
from pipelines.outcome import MEMORY, Say
from pipelines.plan import Shard
from pipelines.readers.parquet import DAMAGE
from pipelines.stages.learn import (
    CountVerdicts,
    InvertImages,
    LearnFromEmbeddings,
    extra_negatives,
    memory_of,
    memory_table,
)
from pipelines.storage import Directory

if TYPE_CHECKING:
    from pipelines.rescore import Work

CANDIDATES, VERDICTS = "candidates", "verdicts"
IMAGES_AT_ONCE = 256
Learners = Mapping[str, AdaNeg | InterNeg]


def is_in_order(methods: Mapping[str, Parameters]) -> bool:
    """Whether a method goes over the input in sequential order."""
    return any(map(is_sequential, methods.values()))


def learners_of(methods: Mapping[str, Parameters]) -> Learners:
    """The methods that go over the whole input before any of it is scored."""
    return {
        name: chosen
        for name, chosen in methods.items()
        if isinstance(chosen, AdaNeg) or (isinstance(chosen, InterNeg) and chosen.inverts)
        if chosen.order == "transductive"
    }


def learn(work: "Work", learners: Learners, say: Say) -> dict[str, Candidates]:
    """What each method's scorer is given. What an earlier run has learned already is read."""
    dim = work.run.bank.dim
    files = {name: f"{name}.parquet" for name in learners}
    if set(files.values()) <= set(work.run.output.names(MEMORY)):
        return {name: memory_of(work.get(file), dim) for name, file in files.items()}
    say("learning from all embeddings, before any is scored")
    shares = _shares(work, learners)
    spec = replace(work.spec, methods=learners)
    memories = {name: MemoryBank(_capacities(parameters, work.run.bank), dim) for name, parameters in learners.items()}
    for part in _parts(work, CANDIDATES, LearnFromEmbeddings, (spec, shares)):
        for name, memory in memories.items():
            memory.offer(memory_of(part.filter(compute.field("method") == name), dim))
    learned = {name: _concluded(work, learners[name], memory.snapshot()) for name, memory in memories.items()}
    for name, file in files.items():
        work.put(file, memory_table(name, learned[name]))
        say(f"{name}: {len(memories[name])} images remembered")
    return learned


def described(output: Directory, methods: Mapping[str, Parameters], bank: LabelBank) -> dict[str, Any]:
    """What was learned, for the summary: how much, and where InterNeg's mean images of the ID labels are from."""
    learners = {} if is_in_order(methods) else learners_of(methods)
    found: dict[str, Any] = {}
    for name in learners:
        content = output.read(f"{MEMORY}/{name}.parquet")
        rows = pq.read_table(pa.BufferReader(content), columns=["row"])["row"].to_numpy()
        found[name] = {"images": len(rows), "rows": len(set(rows.tolist()))}
        if name == "interneg":
            source = bank.info.criterion.get("id_images", "bank") if bank.image_embeddings is not None else "memory"
            found[name] = {"extra_negatives": len(rows), "id_images": source}
    return found


def _capacities(parameters: AdaNeg | InterNeg, bank: LabelBank) -> Any:
    if isinstance(parameters, AdaNeg):
        return adaneg_capacities(parameters, len(bank.texts))
    return interneg_capacities(parameters, bank.id_count, bank.image_embeddings is not None)


def _shares(work: "Work", learners: Learners) -> dict[str, float]:
    """Of the methods that adapt to it, the share of ID among the confident verdicts on the whole input."""
    adaptive = {name: chosen for name, chosen in learners.items() if isinstance(chosen, AdaNeg) and chosen.adaptive_gap}
    if not adaptive:
        return {}
    parts = list(_parts(work, VERDICTS, CountVerdicts, (replace(work.spec, methods=adaptive), {})))
    rows = [row for part in parts for row in part.to_pylist()]
    shares = {}
    for name in adaptive:
        verdicts = sum(row["verdicts"] for row in rows if row["method"] == name)
        positive = sum(row["positive"] for row in rows if row["method"] == name)
        shares[name] = positive / verdicts if verdicts else 0.5
    return shares


def memory_problems(output: Directory, config: Rescore, shards: Sequence[Shard], expected: str) -> Iterator[str]:
    """What the memory of a rescoring lacks, or holds of another."""
    learners = learners_of(config.methods())
    if not learners or is_in_order(config.methods()):
        return
    names = [f"{MEMORY}/{name}.parquet" for name in learners]
    adaptive = any(isinstance(chosen, AdaNeg) and chosen.adaptive_gap for chosen in learners.values())
    for folder in (CANDIDATES, *((VERDICTS,) if adaptive else ())):
        names += [f"{MEMORY}/{folder}/{part_name(shard.id)}" for shard in shards]
    for name in names:
        try:
            schema = pq.read_schema(pa.BufferReader(output.read(name)))
        except FileNotFoundError:
            yield f"{name} is missing"
            continue
        except DAMAGE as error:
            yield f"{name} cannot be read: {first_line(error)}"
            continue
        if (schema.metadata or {}).get(FINGERPRINT_KEY, b"").decode() != expected:
            yield f"{name} carries the fingerprint of another scan"


def _parts(work: "Work", folder: str, stage: Any, arguments: tuple[Any, ...]) -> Iterator[pa.Table]:
    """A table for every shard, in the plan's order; those that an earlier run has written are not made again."""
    done = committed(work.run.output, f"{MEMORY}/{folder}")
    missing = [[shard] for shard in work.run.plan.shards if shard.id not in done]
    if missing:
        committer = Committer(work.run.output, work.fingerprint, lambda *_: None, f"{MEMORY}/{folder}")
        for rows in work.over(missing, stage, arguments):
            committer.add(rows)
        if len(committer.done) != len(missing):
            raise RuntimeError(f"Ray ended the first pass, but rows are missing of {committer.unfinished()}")
    for shard in work.run.plan.shards:
        yield work.get(f"{folder}/{part_name(shard.id)}")


def _concluded(work: "Work", parameters: AdaNeg | InterNeg, memory: Candidates) -> Candidates:
    """From the memory to what the scorer is given: of InterNeg the best of the images that it inverts."""
    import ray

    if isinstance(parameters, AdaNeg):
        return memory
    if work.spec.texts.model is None:
        return Candidates.none(work.run.bank.dim)
    images = memory_table("interneg", memory.of_rows(0, 1)).select(["key", "embedding"])
    if not len(images):
        return Candidates.none(work.run.bank.dim)
    blocks = [images.slice(start, IMAGES_AT_ONCE) for start in range(0, len(images), IMAGES_AT_ONCE)]
    arguments = (work.spec.texts.model, parameters.steps, parameters.learning_rate)
    words = pa.concat_tables(work.mapped(blocks, InvertImages, arguments))
    return ray.get(ray.remote(extra_negatives).remote(work.spec, parameters, memory, words))
