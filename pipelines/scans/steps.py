"""How a scan goes over its images. Methods that learn from all of them have two passes: the first encodes them, scores
what can be scored and fills the memory, the second scores the embeddings against it. Else there is one."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy

from ood_core.methods import NEEDS_LOCAL_FEATURES, Consensus, Parameters, of_images
from pipelines.config.pools import EncodePool, Pool, ScorePool
from pipelines.config.rescore import ReadEmbeddings
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.step import Steps, scored
from pipelines.consensus.workers import Consenting, FirstPass
from pipelines.errors import CallerError
from pipelines.inputs.embedding_plan import plan_embeddings
from pipelines.inputs.label_bank import check_bank_fits, noun_templates
from pipelines.inputs.plan import Shard, blocks_of
from pipelines.memory.files import MemoryFiles
from pipelines.memory.scoring import Remembering
from pipelines.memory.step import Keeper, Learners, Learning, adapts, keeping, learners_of
from pipelines.runtime.cluster import Cluster
from pipelines.runtime.model import ModelFacts, ModelSpec, model_facts, model_spec
from pipelines.runtime.pools import fitted, fitted_scorers, limit_read_ahead, mapped, tables
from pipelines.runtime.progress import Say
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.finish import counting, every_few_seconds
from pipelines.scan_directory.identity import begin, check_unchanged, fingerprint, of_model
from pipelines.scan_directory.layout import FIRST_PASS, SCORES, SECOND_PASS, committed
from pipelines.scan_directory.summary import Clock, Tally
from pipelines.scans.workers.decode import DecodeShards
from pipelines.scans.workers.encode import EncodeImages, ScoreSpec
from pipelines.scans.workers.score_embeddings import Rescoring
from pipelines.scans.workers.score_learned import FinishShards, SecondPass
from pipelines.scans.workers.texts import Texts, check_inversion

if TYPE_CHECKING:
    from pipelines.scans.scan import Run


ONE_SHARD = ReadEmbeddings(rows_per_shard=2**62)
"""However many rows a table has."""


@dataclass(frozen=True)
class Work:
    """A scan on a cluster: the model, pools that fit, and what its files are known by."""

    run: "Run"
    model: ModelSpec
    facts: ModelFacts
    encode: EncodePool
    decode: Pool
    finish: ScorePool
    fingerprint: str

    @classmethod
    def begun(cls, run: "Run", found: Cluster) -> "Work":
        """Records the scan, unless an earlier run has. Raises CallerError for what only workers can find."""
        model = model_spec(run.config.model, run.config.encode, found)
        encode, decode = fitted(run.config.encode, run.config.decode, model.device, found)
        finish = fitted_scorers(ScorePool(threads=encode.threads, gpus=encode.gpus), model.device, found)
        facts = model_facts(model)
        check_bank_fits(run.bank, run.config.labels, model, facts)
        check_local_features(run.methods, model, facts)
        check_inversion(learners_of(run.methods), model, facts)
        if run.carried:
            run.carried.check_weights(facts.weights)
        identity = run.asked_for() | of_model(model, facts)
        if not check_unchanged(run.output, identity, run.plan):
            begin(run.output, run.config, identity, run.plan)
        return cls(run, replace(model, weights=facts.weights), facts, encode, decode, finish, fingerprint(identity))

    def score(self, shards: list[Shard], tally: Tally, clock: Clock, say: Say) -> dict[str, Any]:
        """Commits the scores of the shards; what it has cost."""
        cost = scored(self, shards, tally, clock, say)
        workers = {"decode": self.decode.workers or 0, "encode": self.encode.workers or 0}
        return clock.described(time.time(), workers) | cost

    def base_scores(self, shards: Sequence[Shard], folder: str, tally: Tally, clock: Clock, say: Say) -> dict[str, Any]:
        """Commits to the folder the rows that encoders make of the shards, but of methods that learn from all images:
        theirs go to the scores, or, where these are the first pass, to a folder of their own. What it has cost."""
        run, first = self.run, folder == FIRST_PASS
        embeddings = "float32" if first else "float16" if run.config.embeddings else None
        spec = ScoreSpec(run.bank, of_images(run.methods), embeddings)
        frozen, cost = run.config.memory.freeze, {}
        if not frozen and learners_of(run.methods):
            cost = self._in_two_passes(shards, spec, SECOND_PASS if first else SCORES, tally, clock, say)
        else:
            seen = committed(run.output, FIRST_PASS) if first else set()
            unseen = [shard for shard in shards if shard.id not in seen]
            if not frozen and learners_of(run.methods, "streaming"):
                cost = self._streaming(unseen, spec, folder, tally, clock, say)
            else:
                if run.carried:
                    learned = Remembering(ray.put(run.carried.learned()), run.carried.version)
                    spec = replace(spec, remembering=learned)
                self._over_images(unseen, spec, folder, tally, clock, say)
        return cost

    def steps(self, chosen: Consensus, files: ConsensusFiles, wanted: Sequence[Shard]) -> Steps:
        """Of consensus, over what the passes have left of the shards that are `wanted`."""
        run, ids = self.run, {shard.id for shard in wanted}
        learned = learners_of(run.methods) and not run.config.memory.freeze
        consenting = Consenting(
            files=files,
            parameters=chosen,
            base=run.methods[chosen.base],
            embeddings=FirstPass(run.output, run.bank.dim),
            rows=SECOND_PASS if learned else FIRST_PASS,
            methods=tuple(run.methods),
            keep_embeddings=run.config.embeddings,
            device=self.model.device,
            threads=self.finish.threads,
        )
        embeddings = [shard for shard in self._first_pass() if shard.id in ids] if ids else []
        return Steps(consenting, self.finish, run.plan.shards, embeddings)

    def _keeping(self, learners: Learners, shards: Sequence[Shard]) -> AbstractContextManager[Keeper]:
        files = MemoryFiles(self.run.output, self.fingerprint, self.run.bank.dim)
        return keeping(files, learners, self.run.bank, self.run.config.memory, self.run.carried, shards)

    def _streaming(
        self, shards: Sequence[Shard], spec: ScoreSpec, folder: str, tally: Tally, clock: Clock, say: Say
    ) -> dict[str, Any]:
        learners = learners_of(self.run.methods, "streaming")
        with self._keeping(learners, shards) as keeper:
            staleness = self.run.config.memory.max_staleness
            learn = Remembering(memory=keeper.memory.spec, learners=learners, max_staleness=staleness)
            self._over_images(shards, replace(spec, remembering=learn), folder, tally, clock, say, keeper)
            keeper.compact()
            return keeper.cost(clock.images)

    def _in_two_passes(
        self, shards: Sequence[Shard], spec: ScoreSpec, folder: str, tally: Tally, clock: Clock, say: Say
    ) -> dict[str, Any]:
        run, seen = self.run, committed(self.run.output, FIRST_PASS)
        learners, unseen = learners_of(run.methods), [shard for shard in shards if shard.id not in seen]
        with self._keeping(learners, unseen) as keeper:
            static = {name: chosen for name, chosen in spec.methods.items() if name not in learners}
            first = replace(spec, methods=static, embeddings="float32")
            if not adapts(learners):
                first = replace(first, remembering=Remembering(memory=keeper.memory.spec, learners=learners))
            self._over_images(unseen, first, FIRST_PASS, Tally(), clock, say, keeper)
            learned = self._learning(keeper).learn(say)
            cost = keeper.cost(clock.images)
        started, before = time.time(), tally.records
        self._finish(shards, learned, folder, tally, say)
        return {"images": tally.records - before, "second_pass_s": time.time() - started, **cost}

    def _over_images(
        self,
        shards: Sequence[Shard],
        spec: ScoreSpec,
        folder: str,
        tally: Tally,
        clock: Clock,
        say: Say,
        keeper: Keeper | None = None,
    ) -> None:
        """Commits to the folder what encoders say of the shards."""
        progress = every_few_seconds(say)

        def on_commit(_: str, table: pa.Table) -> None:
            tally.add(table)
            clock.add(table, time.time())
            progress(len(committer.done), len(shards), clock.images)

        committer = Committer(self.run.output, self.fingerprint, on_commit, folder)
        if keeper:
            committer.on_offers = keeper.commit
        if shards:
            for rows in tables(self.dataset(shards, spec)):
                committer.add(rows)
        committer.check_whole(shard.id for shard in shards)

    def dataset(self, shards: Sequence[Shard], spec: ScoreSpec) -> ray.data.Dataset:
        """Shards to rows of scores, streaming from one pool of actors, which reads and decodes, to another."""
        height, width = self.facts.preprocessing.size
        limit_read_ahead(self.encode, height * width * 3)
        records = ray.data.from_blocks(blocks_of([[shard] for shard in shards])).map_batches(
            DecodeShards,
            fn_constructor_args=(self.run.config.read, self.facts.preprocessing, self.run.options),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=self.decode.cpus,
            compute=ActorPoolStrategy(size=self.decode.workers, max_tasks_in_flight_per_actor=1),
        )
        return records.map_batches(
            EncodeImages,
            fn_constructor_args=(self.model, spec),
            batch_size=self.encode.batch_size,
            batch_format="pyarrow",
            num_cpus=self.encode.cpus,
            num_gpus=self.encode.gpus or None,
            compute=ActorPoolStrategy(size=self.encode.workers),
        )

    def _learning(self, keeper: Keeper) -> Learning:
        """From what the first pass has left. Methods that adapt to the input look at its embeddings once more."""
        run, learners = self.run, learners_of(self.run.methods)
        texts = Texts(self.model, None, run.options, noun_templates(run.bank))
        spec = Rescoring(run.bank, learners, ONE_SHARD, run.options, texts, self.model.device, self.finish.threads)
        shards = run.plan.shards
        if adapts(learners) and not keeper.shards.issuperset(shard.id for shard in shards):
            shards = self._first_pass()
        return Learning(shards, learners, spec, self.finish, keeper)

    def _first_pass(self) -> list[Shard]:
        """The tables that the first pass has left, by the ids of the shards that they are of."""
        run = self.run
        found = plan_embeddings([f"{run.output.url}/{FIRST_PASS}"], ONE_SHARD, run.bank.dim, run.options).shards
        names = [shard.urls[0].rsplit("/part-", 1)[1].removesuffix(".parquet") for shard in found]
        return [replace(shard, id=name) for shard, name in zip(found, names, strict=True)]

    def _finish(self, shards: Sequence[Shard], learned: Any, folder: str, tally: Tally, say: Say) -> None:
        """Commits to the folder the scores of shards that the first pass has been over."""
        run = self.run
        seen = committed(run.output, folder)
        unseen = [shard for shard in shards if shard.id not in seen]
        spec = SecondPass(
            run.output,
            run.bank,
            tuple(of_images(run.methods)),
            learners_of(run.methods),
            Remembering(ray.put(learned), len(run.plan.shards)),
            run.config.embeddings,
            self.model.device,
            self.finish.threads,
        )
        committer = Committer(run.output, self.fingerprint, counting(tally, unseen, say), folder)
        blocks = [pa.table({"id": [shard.id]}) for shard in unseen]
        for rows in mapped(self.finish, blocks, FinishShards, (spec,)):
            committer.add(rows)
        committer.check_whole(shard.id for shard in unseen)


def check_local_features(methods: Mapping[str, Parameters], spec: ModelSpec, facts: ModelFacts) -> None:
    """Raises CallerError if a method needs what the model cannot give."""
    for name in methods:
        if name in NEEDS_LOCAL_FEATURES and facts.local_features is not None:
            raise CallerError(
                f"--method {name} needs local features, which --model {spec.name!r} does not give: "
                f"{facts.local_features}"
            )
