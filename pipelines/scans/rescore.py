"""Rescoring: from stored embeddings to score tables, without images. Rerun it to resume, as a scan."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.methods import NEEDS_LOCAL_FEATURES, Consensus, Parameters, of_images
from pipelines.config.pools import EncodePool, ScorePool
from pipelines.config.rescore import Rescore
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.step import Steps, check_base, check_images, scored
from pipelines.consensus.step import described as consensus_described
from pipelines.consensus.workers import Consenting, Tables
from pipelines.errors import CallerError
from pipelines.inputs.embedding_plan import plan_embeddings
from pipelines.inputs.label_bank import check_bank_fits, check_negatives, load_bank, noun_templates
from pipelines.inputs.plan import Plan, Shard
from pipelines.memory.files import Memories, MemoryFiles
from pipelines.memory.initial import Carried, carried_by
from pipelines.memory.scoring import Remembering
from pipelines.memory.step import (
    Keeper,
    Learners,
    Learning,
    check_orders,
    described,
    is_in_order,
    keeping,
    learners_of,
)
from pipelines.runtime.model import ModelSpec
from pipelines.runtime.pools import over, unpacked
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.finish import SUCCESS_FILE, Say, clear, every_few_seconds, finish, tallied
from pipelines.scan_directory.identity import asked_for, begin, check_unchanged, fingerprint, of_model
from pipelines.scan_directory.layout import FIRST_PASS, committed
from pipelines.scan_directory.summary import Clock, Tally
from pipelines.scans.workers.score_embeddings import Rescoring, ScoreEmbeddings
from pipelines.scans.workers.score_sequential import ScoreInOrder
from pipelines.scans.workers.texts import AskedTexts, Texts, check_inversion, check_texts
from pipelines.storage import Directory

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster


@dataclass(frozen=True)
class Run:
    """A rescoring as asked for, every mistake that needs no worker to find already found."""

    config: Rescore
    options: Mapping[str, Any]
    methods: Mapping[str, Parameters]
    bank: LabelBank
    texts: AskedTexts
    plan: Plan
    output: Directory
    carried: Carried | None = None

    @classmethod
    def prepare(cls, config: Rescore, options: Mapping[str, Any], new_scan: bool = False) -> "Run":
        """Raises CallerError for whatever the caller has to mend."""
        methods = config.methods()
        for name in methods:
            if name in NEEDS_LOCAL_FEATURES:
                raise CallerError(f"--method {name} needs the images, not their embeddings alone; use `oodscan scan`")
        bank = load_bank(Directory(config.labels, options))
        check_negatives(methods, bank, config.labels)
        check_orders(methods)
        check_base(methods)
        carried = carried_by(config.memory, methods, bank, options)
        texts = check_texts(config, methods, bank, options)
        planned = plan_embeddings(config.embeddings, config.read, bank.dim, options)
        if "consensus" in methods:
            check_images(rows_of(planned.shards))
        output = Directory(config.output, options)
        output.check_writable("--output")
        if new_scan:
            clear(output)
        run = cls(config, options, methods, bank, texts, planned, output, carried)
        check_unchanged(output, run.asked_for(), planned)
        return run

    def asked_for(self) -> dict[str, Any]:
        known = asked_for(self.config, self.methods, self.bank.content_hash(), self.plan)
        memory = self.carried.hash if self.carried else None
        return known | {"text_embeddings": self.texts.table_hash, "memory": memory}

    @property
    def in_order(self) -> bool:
        """Whether a method goes over the input in sequential order."""
        return is_in_order(self.methods)


def rescore(run: Run, address: str | None = None, say: Say = lambda _: None) -> dict[str, Any]:
    """Scores what is not yet committed, and returns the summary of the whole, as in `summary.json`."""
    started = time.time()
    done = committed(run.output)
    remaining = [shard for shard in run.plan.shards if shard.id not in done]
    say(f"{len(run.plan.shards)} shards planned, {len(run.plan.shards) - len(remaining)} already committed")
    tally = tallied(run.output, {shard.id for shard in run.plan.shards} & done, run.methods)
    performance: dict[str, Any] = {"images": 0}
    if remaining:
        run.output.remove(SUCCESS_FILE)
        from pipelines.runtime.cluster import cluster

        with cluster(address) as found:
            clock = Clock(started, {"score": ("read_s", "score_s")})
            performance = Work.begun(run, found).score(remaining, tally, clock, say)
    learned = described(run.output, run.config, run.bank) | consensus_described(run.output, run.methods)
    summary = finish(run.output, run.plan, run.config.max_bad_fraction, tally, performance, learned)
    run.output.remove(FIRST_PASS)
    return summary


@dataclass(frozen=True)
class Work:
    """A rescoring on a cluster: what its workers need, how many there are, and what its files are known by."""

    run: Run
    spec: Rescoring
    pool: ScorePool
    fingerprint: str

    @classmethod
    def begun(cls, run: Run, found: "Cluster") -> "Work":
        """Records the rescoring, unless an earlier run has. Raises CallerError for what only workers can find."""
        from pipelines.runtime.model import device_of, model_facts, model_spec
        from pipelines.runtime.pools import fitted_scorers

        device = device_of(run.config.model, found)
        pool = fitted_scorers(run.config.score, device, found)
        identity = run.asked_for() | {"device": device}
        model: ModelSpec | None = None
        if run.texts.model is not None:
            model = model_spec(run.texts.model, EncodePool(threads=pool.threads), found)
            facts = model_facts(model)
            check_bank_fits(run.bank, run.config.labels, model, facts)
            check_inversion(run.methods, model, facts)
            model = replace(model, weights=facts.weights)
            identity |= of_model(model, facts)
        if run.carried:
            run.carried.check_weights(model.weights if model else run.bank.info.weights)
        if not check_unchanged(run.output, identity, run.plan):
            begin(run.output, run.config, identity, run.plan)
        texts = Texts(model, run.texts.table, run.options, noun_templates(run.bank))
        spec = Rescoring(run.bank, of_images(run.methods), run.config.read, run.options, texts, device, pool.threads)
        return cls(run, spec, pool, fingerprint(identity))

    def score(self, shards: list[Shard], tally: Tally, clock: Clock, say: Say) -> dict[str, Any]:
        """Commits the scores of the shards; what it has cost."""
        cost = scored(self, shards, tally, clock, say)
        return clock.described(time.time(), {"score": self.pool.workers or 1}) | cost

    def base_scores(self, shards: Sequence[Shard], folder: str, tally: Tally, clock: Clock, say: Say) -> dict[str, Any]:
        """Commits to the folder the scores of the shards, but for consensus; what the memory has cost."""
        done, progress = committed(self.run.output, folder), every_few_seconds(say)
        unseen = [shard for shard in shards if shard.id not in done]

        def on_commit(_: str, table: pa.Table) -> None:
            tally.add(table)
            clock.add(table, time.time())
            progress(len(committer.done - done), len(unseen), clock.images)

        committer = Committer(self.run.output, self.fingerprint, on_commit, folder, done=set(done))
        return self._committed(unseen, committer, say) if unseen else {}

    def steps(self, chosen: Consensus, files: ConsensusFiles, wanted: Sequence[Shard]) -> Steps:
        """Of consensus, over the embeddings of the shards that are `wanted`."""
        run = self.run
        consenting = Consenting(
            files=files,
            parameters=chosen,
            base=run.methods[chosen.base],
            embeddings=Tables(run.config.read, run.bank.dim, run.options),
            rows=FIRST_PASS,
            methods=tuple(run.methods),
            keep_embeddings=False,
            device=self.spec.device,
            threads=self.pool.threads,
        )
        return Steps(consenting, self.pool, run.plan.shards, wanted)

    def _committed(self, shards: list[Shard], committer: Committer, say: Say) -> dict[str, Any]:
        """Commits the scores of the shards; what the memory has cost."""
        run, frozen, cost = self.run, self.run.config.memory.freeze, {}
        transductive, streaming = learners_of(run.methods), learners_of(run.methods, "streaming")
        if run.in_order:
            self._in_order(committer)
        elif frozen and run.carried:
            known = Remembering(ray_put(run.carried.learned()), run.carried.version)
            self._over(shards, known, committer)
        elif streaming:
            with self._keeping(streaming, shards) as keeper:
                committer.on_offers = keeper.commit
                size = min(chosen.batch_size for chosen in streaming.values())
                staleness = run.config.memory.max_staleness
                learn = Remembering(
                    memory=keeper.memory.spec, learners=streaming, max_staleness=staleness, batch_size=size
                )
                self._over(shards, learn, committer)
                keeper.compact()
                cost = keeper.cost(rows_of(shards))
        elif transductive:
            with self._keeping(transductive, shards) as keeper:
                learned = Learning(run.plan.shards, transductive, self.spec, self.pool, keeper).learn(say)
                cost = keeper.cost(rows_of(shard for shard in run.plan.shards if shard.id in keeper.fresh))
            self._over(shards, Remembering(ray_put(learned), len(run.plan.shards)), committer)
        else:
            self._over(shards, Remembering(), committer)
        committer.check_whole(shard.id for shard in shards)
        return cost

    def _keeping(self, learners: Learners, shards: list[Shard]) -> AbstractContextManager[Keeper]:
        files = MemoryFiles(self.run.output, self.fingerprint, self.run.bank.dim)
        return keeping(files, learners, self.run.bank, self.run.config.memory, self.run.carried, shards)

    def _over(self, shards: list[Shard], remembering: Remembering, committer: Committer) -> None:
        for rows in over(self.pool, [[shard] for shard in shards], ScoreEmbeddings, (self.spec, remembering)):
            committer.add(rows)

    def _in_order(self, committer: Committer) -> None:
        """Goes over every shard, whatever is committed: scores depend on it."""
        for cells in over(self.pool, [self.run.plan.shards], ScoreInOrder, (self.spec,)):
            for rows in unpacked(cells):
                committer.add(rows)


def rows_of(shards: Iterable[Shard]) -> int:
    return sum(shard.rows or 0 for shard in shards)


def ray_put(learned: Memories) -> Any:
    """Held once, however many workers there are."""
    import ray

    return ray.put(learned)
