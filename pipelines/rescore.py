"""Rescoring: from stored embeddings to score tables, without images. Rerun it to resume, as a scan."""

import io
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import NEEDS_LOCAL_FEATURES, Parameters
from pipelines.commit import FINGERPRINT_KEY, Committer, committed
from pipelines.config import EncodePool, Rescore, ScorePool
from pipelines.embedding_plan import plan_embeddings
from pipelines.errors import CallerError
from pipelines.identity import asked_for, begin, check_unchanged, fingerprint, of_model
from pipelines.label_files import check_negatives, load_bank
from pipelines.learning import described, is_in_order, learn, learners_of
from pipelines.outcome import MEMORY, SUCCESS_FILE, Say, clear, every_few_seconds, finish, tallied
from pipelines.plan import SCHEMA as PLAN_SCHEMA
from pipelines.plan import Plan, Shard
from pipelines.stages.encode import ModelSpec, noun_templates
from pipelines.stages.in_order import ScoreInOrder, unpacked
from pipelines.stages.score import Rescoring, ScoreEmbeddings
from pipelines.stages.texts import AskedTexts, Texts, check_inversion, check_texts
from pipelines.storage import Directory
from pipelines.summary import Clock

if TYPE_CHECKING:
    from pipelines.cluster import Cluster


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

    @classmethod
    def prepare(cls, config: Rescore, options: Mapping[str, Any], new_scan: bool = False) -> "Run":
        """Raises CallerError for whatever the caller has to mend."""
        methods = config.methods()
        for name in methods:
            if name in NEEDS_LOCAL_FEATURES:
                raise CallerError(f"--method {name} needs the images, not their embeddings alone; use `oodscan scan`")
        bank = load_bank(Directory(config.labels, options))
        check_negatives(methods, bank, config.labels)
        texts = check_texts(config, methods, bank, options)
        planned = plan_embeddings(config.embeddings, config.read, bank.dim, options)
        output = Directory(config.output, options)
        output.check_writable("--output")
        if new_scan:
            clear(output)
        run = cls(config, options, methods, bank, texts, planned, output)
        check_unchanged(output, run.asked_for(), planned)
        return run

    def asked_for(self) -> dict[str, Any]:
        known = asked_for(self.config, self.methods, self.bank.content_hash(), self.plan)
        return known | {"text_embeddings": self.texts.table_hash}

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
        from pipelines.cluster import cluster

        with cluster(address) as found:
            work = Work.begun(run, found)
            clock, progress = Clock(started, {"score": ("read_s", "score_s")}), every_few_seconds(say)

            def on_commit(_: str, table: pa.Table) -> None:
                tally.add(table)
                clock.add(table, time.time())
                progress(len(committer.done - done), len(remaining), clock.images)

            committer = Committer(run.output, work.fingerprint, on_commit, done=set(done))
            for rows in work.scored(remaining, say):
                committer.add(rows)
            if committer.unfinished() or not {shard.id for shard in remaining} <= committer.done:
                raise RuntimeError(f"Ray ended the rescoring, but rows are missing of {committer.unfinished()}")
            performance = clock.described(time.time(), {"score": work.pool.workers or 1})
    learned = described(run.output, run.methods, run.bank)
    return finish(run.output, run.plan, run.config.max_bad_fraction, tally, performance, learned)


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
        from pipelines.cluster import device_of, fitted_scorers, model_facts, model_spec
        from pipelines.scan import check_bank_fits

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
        if not check_unchanged(run.output, identity, run.plan):
            begin(run.output, run.config, identity, run.plan)
        texts = Texts(model, run.texts.table, run.options, noun_templates(run.bank))
        spec = Rescoring(run.bank, run.methods, run.config.read, run.options, texts, device, pool.threads)
        return cls(run, spec, pool, fingerprint(identity))

    def scored(self, shards: list[Shard], say: Say) -> Iterator[pa.Table]:
        """Tables of scores. Sequential order goes over every shard, whatever is committed: scores depend on it."""
        import ray

        if self.run.in_order:
            for cells in self.over([self.run.plan.shards], ScoreInOrder, (self.spec,)):
                yield from unpacked(cells)
        else:
            learned = ray.put(self.learned(say))  # held once, however many workers there are
            yield from self.over([[shard] for shard in shards], ScoreEmbeddings, (self.spec, learned))

    def learned(self, say: Say) -> dict[str, Candidates]:
        """What each method learns from the whole input, in transductive order."""
        learners = learners_of(self.run.methods)
        return learn(self, learners, say) if learners else {}

    def over(self, groups: list[list[Shard]], stage: Any, arguments: tuple[Any, ...]) -> Iterator[pa.Table]:
        """A stage's tables over groups of shards, in any order."""
        blocks = [pa.Table.from_pylist([asdict(shard) for shard in group], PLAN_SCHEMA) for group in groups]
        return self.mapped(blocks, stage, arguments)

    def mapped(self, blocks: list[pa.Table], stage: Any, arguments: tuple[Any, ...]) -> Iterator[pa.Table]:
        import ray.data
        from ray.data import ActorPoolStrategy

        from pipelines.cluster import tables

        size = min(self.pool.workers or 1, len(blocks))
        yield from tables(
            ray.data.from_blocks(blocks).map_batches(
                stage,
                fn_constructor_args=arguments,
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=self.pool.cpus,
                num_gpus=self.pool.gpus or None,
                compute=ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1),
            )
        )

    def put(self, name: str, table: pa.Table) -> None:
        """Writes a table of the memory."""
        buffer = io.BytesIO()
        metadata = {FINGERPRINT_KEY: self.fingerprint}
        pq.write_table(table.replace_schema_metadata(metadata), buffer, compression="zstd", write_page_checksum=True)
        self.run.output.put(f"{MEMORY}/{name}", buffer.getvalue())

    def get(self, name: str) -> pa.Table:
        return pq.read_table(pa.BufferReader(self.run.output.read(f"{MEMORY}/{name}")))
