"""What methods learn from the whole input before it is scored: every shard's candidates, merged into one memory."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.memory.rows import adaneg_capacities, interneg_capacities
from ood_core.methods import AdaNeg, InterNeg, Parameters, is_sequential, order_of
from pipelines.config.memory import Memory as MemoryConfig
from pipelines.config.pools import ScorePool
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.inputs.plan import Shard
from pipelines.memory.actor import MemorySpec
from pipelines.memory.client import Answer, Memory, RayActors
from pipelines.memory.files import EXTRA_NEGATIVES, Memories, MemoryFiles, by_method, memory_of, memory_table
from pipelines.memory.initial import Carried
from pipelines.memory.workers import CountVerdicts, InvertImages, LearnFromEmbeddings, extra_negatives
from pipelines.runtime.pools import mapped, over
from pipelines.runtime.progress import Say
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import CANDIDATES, MEMORY, committed, part_name
from pipelines.scans.workers.score_embeddings import Rescoring
from pipelines.storage import Directory

VERDICTS = "verdicts"
IMAGES_AT_ONCE, SHARDS_A_SNAPSHOT = 256, 500
Learners = Mapping[str, AdaNeg | InterNeg]


def is_in_order(methods: Mapping[str, Parameters]) -> bool:
    """Whether a method goes over the input in sequential order."""
    return any(map(is_sequential, methods.values()))


def learners_of(methods: Mapping[str, Parameters], order: str = "transductive") -> Learners:
    """The methods that learn in the given order."""
    return {
        name: chosen
        for name, chosen in methods.items()
        if isinstance(chosen, AdaNeg | InterNeg) and order_of(chosen) == order
    }


def adapts(learners: Learners) -> bool:
    """Whether a method must have gone over the whole input before it can say what it wants remembered."""
    return any(isinstance(chosen, AdaNeg) and chosen.adaptive_gap for chosen in learners.values())


def capacities(learners: Learners, bank: LabelBank) -> dict[str, np.ndarray]:
    """How many images each row of each method's memory holds."""
    return {
        name: adaneg_capacities(chosen, len(bank.texts))
        if isinstance(chosen, AdaNeg)
        else interneg_capacities(chosen, bank.id_count, bank.image_embeddings is not None)
        for name, chosen in learners.items()
    }


def check_orders(methods: Mapping[str, Parameters]) -> None:
    """Raises CallerError for orders that do not go together."""
    streaming, transductive = learners_of(methods, "streaming"), learners_of(methods)
    if "interneg" in streaming:
        raise CallerError(
            "--order streaming: interneg turns images into words once it has seen them all; give "
            "--param interneg.order=transductive, or --param interneg.max_inversions=0"
        )
    if streaming and transductive:
        raise CallerError(
            f"--order: {', '.join(streaming)} in streaming and {', '.join(transductive)} in transductive order do "
            "not go into one scan"
        )


@dataclass
class Keeper:
    """The driver's end of the memory: tells the actors what is committed, and now and then compacts it in storage."""

    memory: Memory
    shards: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)
    compacted: int = 0
    _told: list[Answer] = field(default_factory=list)

    @property
    def files(self) -> MemoryFiles:
        return self.memory.spec.files

    def begin(self) -> None:
        """Starts the actors, which read what is stored."""
        self.memory.counted()
        self.shards = self.files.shards()
        self.compacted = len(self.shards)

    def commit(self, shard: str, offered: pa.Table) -> None:
        """To be called when a shard's candidates are stored."""
        self._told += self.memory.commit(shard, offered)
        self.shards.add(shard)
        self.fresh.add(shard)
        if len(self.shards) - self.compacted >= SHARDS_A_SNAPSHOT:
            self.compact()

    def compact(self) -> Memories:
        """Writes a snapshot of all that is committed, and returns what is in it."""
        for answer in self._told:
            answer()
        self._told, self.compacted = [], len(self.shards)
        memories = self.memory.remembered()
        self.files.put_snapshot(memories, self.shards)
        return memories

    def cost(self, images: int) -> dict[str, Any]:
        """What the actors have done, by method, for the summary. `images`: how many there were."""
        actors = self.memory.counted()
        totals: dict[str, dict[str, float]] = {}
        for actor in actors:
            for name, counts in actor["methods"].items():
                total = totals.setdefault(name, dict.fromkeys(counts, 0))
                for what, count in counts.items():
                    total[what] += count
        cpu_s = sum(actor["cpu_s"] for actor in actors)
        return {"memory": {"images": images, "actors": len(actors), "actors_cpu_s": cpu_s, **totals}}


@contextmanager
def keeping(
    files: MemoryFiles,
    learners: Learners,
    bank: LabelBank,
    chosen: MemoryConfig,
    carried: Carried | None,
    again: Sequence[Shard],
) -> Iterator[Keeper]:
    """Actors that hold the memory of the methods, for as long as it lasts, with all that is stored of it.

    `again`: the shards to go over. In streaming order it depends on the moment what they offer, so what they offered
    before they were cut short is forgotten; else they will offer the same again, as far as it is kept.
    """
    if carried:
        carried.keep(files)
    streaming = frozenset(learners_of(learners, "streaming"))
    if streaming:
        files.forget(shard.id for shard in again)
    name = f"oodscan-memory-{uuid.uuid4().hex}"
    spec = MemorySpec(name, files, capacities(learners, bank), chosen.shards, streaming)
    actors = RayActors(spec)
    keeper = Keeper(Memory(spec, actors))
    try:
        keeper.begin()
        yield keeper
    finally:
        actors.close()


@dataclass(frozen=True)
class Learning:
    """From stored embeddings to what scorers are given. `spec`: of the workers; `learners`: in transductive order."""

    shards: Sequence[Shard]
    learners: Learners
    spec: Rescoring
    pool: ScorePool
    keeper: Keeper

    @property
    def files(self) -> MemoryFiles:
        return self.keeper.files

    def learn(self, say: Say) -> Memories:
        """What each method's scorer is given. What an earlier run has learned already is read."""
        known = self._known()
        if known is not None:
            return known
        say("learning from all embeddings, before any is scored")
        self._gather()
        memories = self.keeper.compact()
        for name, memory in memories.items():
            say(f"{name}: {len(memory)} images remembered")
        if "interneg" in self.learners:
            memories = {**memories, "interneg": self._inverted(memories["interneg"])}
            self.files.put(EXTRA_NEGATIVES, memory_table("interneg", memories["interneg"]))
        return memories

    def _known(self) -> Memories | None:
        snapshot = self.files.snapshot()
        if snapshot is None or not {shard.id for shard in self.shards} <= snapshot.shards:
            return None
        found = by_method(snapshot.table, self.learners, self.files.dim)
        if "interneg" not in found:
            return found
        if EXTRA_NEGATIVES not in self.files.output.names(MEMORY):
            return None
        return {**found, "interneg": memory_of(self.files.get(EXTRA_NEGATIVES), self.files.dim)}

    def _gather(self) -> None:
        """Candidates of every shard that has none yet."""
        missing = [shard for shard in self.shards if shard.id not in self.keeper.shards]
        if not missing:
            return
        spec, shares = replace(self.spec, methods=self.learners), self._shares()
        committer = Committer(self.files.output, self.files.fingerprint, self.keeper.commit, CANDIDATES)
        self._commit(committer, missing, LearnFromEmbeddings, (spec, shares, self.keeper.memory.spec))

    def _shares(self) -> dict[str, float]:
        """Of the methods that adapt to it, the share of ID among the confident verdicts on the whole input."""
        adaptive = {name: chosen for name, chosen in self.learners.items() if adapts({name: chosen})}
        if not adaptive:
            return {}
        folder = f"{MEMORY}/{VERDICTS}"
        done = committed(self.files.output, folder)
        committer = Committer(self.files.output, self.files.fingerprint, lambda *_: None, folder)
        missing = [shard for shard in self.shards if shard.id not in done]
        self._commit(committer, missing, CountVerdicts, (replace(self.spec, methods=adaptive), {}))
        parts = [self.files.get(f"{VERDICTS}/{part_name(shard.id)}") for shard in self.shards]
        rows = [row for part in parts for row in part.to_pylist()]
        shares = {}
        for name in adaptive:
            verdicts = sum(row["verdicts"] for row in rows if row["method"] == name)
            positive = sum(row["positive"] for row in rows if row["method"] == name)
            shares[name] = positive / verdicts if verdicts else 0.5
        return shares

    def _commit(self, committer: Committer, shards: Sequence[Shard], stage: Any, arguments: tuple[Any, ...]) -> None:
        for rows in over(self.pool, [[shard] for shard in shards], stage, arguments):
            committer.add(rows)
        committer.check_whole(shard.id for shard in shards)

    def _inverted(self, memory: Candidates) -> Candidates:
        """InterNeg's extra negatives: the best of the images that it turns into words."""
        import ray

        parameters = self.learners["interneg"]
        images = memory_table("interneg", memory.of_rows(0, 1)).select(["key", "embedding"])
        if self.spec.texts.model is None or not isinstance(parameters, InterNeg) or not len(images):
            return Candidates.none(self.files.dim)
        blocks = [images.slice(start, IMAGES_AT_ONCE) for start in range(0, len(images), IMAGES_AT_ONCE)]
        arguments = (self.spec.texts.model, parameters.steps, parameters.learning_rate)
        words = pa.concat_tables(mapped(self.pool, blocks, InvertImages, arguments))
        return ray.get(ray.remote(extra_negatives).remote(self.spec, parameters, memory, words))


def described(output: Directory, config: Scan | Rescore, bank: LabelBank) -> dict[str, Any]:
    """What was learned, for the summary: how much, and where InterNeg's mean images of the ID labels are from."""
    methods = config.methods()
    learners = {**learners_of(methods), **learners_of(methods, "streaming")}
    if not learners or config.memory.freeze or is_in_order(methods):
        return {}
    files = MemoryFiles(output, "", bank.dim)
    images = files.rows()
    if images is None:
        return {}
    found: dict[str, Any] = {}
    for name in learners:
        rows = images.filter(compute.field("method") == name)["row"]
        found[name] = {"images": len(rows), "rows": len(rows.unique())}
        if name == "interneg":
            source = bank.info.criterion.get("id_images", "bank") if bank.image_embeddings is not None else "memory"
            found[name] |= {"extra_negatives": len(files.get(EXTRA_NEGATIVES)), "id_images": source}
    return found
