"""The scan: from image shards to score tables. Rerun it to resume; what is committed stays as it is."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.methods import LEARNS, NEEDS_LOCAL_FEATURES, Parameters
from pipelines.commit import EMBEDDINGS, Committer, committed
from pipelines.config import Scan
from pipelines.errors import CallerError
from pipelines.identity import asked_for, begin, check_unchanged, fingerprint, of_model
from pipelines.label_files import check_negatives, load_bank, model_of
from pipelines.outcome import SUCCESS_FILE, Say, clear, every_few_seconds, finish, tallied
from pipelines.plan import SCHEMA as PLAN_SCHEMA
from pipelines.plan import Plan, Shard, plan
from pipelines.stages.decode import DecodeShards
from pipelines.stages.encode import EncodeImages, ModelFacts, ModelSpec, ScoreSpec
from pipelines.storage import Directory
from pipelines.summary import Clock, Tally

if TYPE_CHECKING:
    from ray.data import Dataset


@dataclass(frozen=True)
class Run:
    """A scan as asked for, every mistake that needs no worker to find already found."""

    config: Scan
    options: Mapping[str, Any]
    methods: Mapping[str, Parameters]
    bank: LabelBank
    plan: Plan
    output: Directory

    @classmethod
    def prepare(cls, config: Scan, options: Mapping[str, Any], new_scan: bool = False) -> "Run":
        """Raises CallerError for whatever the caller has to mend."""
        methods = config.methods()
        bank = load_bank(Directory(config.labels, options))
        check_negatives(methods, bank, config.labels)
        check_one_pass(methods, config.output)
        model = model_of(config.model, bank)
        if model.name is None:
            raise CallerError(f"--model is missing, and --labels {config.labels!r} does not say which it was made with")
        planned = plan(config.input, config.read, options)
        output = Directory(config.output, options)
        output.check_writable("--output")
        if new_scan:
            clear(output)
        run = cls(config.model_copy(update={"model": model}), options, methods, bank, planned, output)
        check_unchanged(output, run.asked_for(), planned)
        return run

    def asked_for(self) -> dict[str, Any]:
        return asked_for(self.config, self.methods, self.bank.content_hash(), self.plan)

    def remaining(self) -> list[Shard]:
        done = committed(self.output)
        return [shard for shard in self.plan.shards if shard.id not in done]


def scan(run: Run, address: str | None = None, say: Say = lambda _: None) -> dict[str, Any]:
    """Scores what is not yet committed, and returns the summary of the whole scan, as in `summary.json`."""
    started = time.time()
    remaining = run.remaining()
    say(f"{len(run.plan.shards)} shards planned, {len(run.plan.shards) - len(remaining)} already committed")
    done = {shard.id for shard in run.plan.shards} - {shard.id for shard in remaining}
    tally, performance = tallied(run.output, done, run.methods), {"images": 0}
    if remaining:
        run.output.remove(SUCCESS_FILE)
        performance = _score(run, remaining, tally, Clock(started), address, say)
    return finish(run.output, run.plan, run.config.max_bad_fraction, tally, performance)


def _score(
    run: Run, remaining: list[Shard], tally: Tally, clock: Clock, address: str | None, say: Say
) -> dict[str, Any]:
    from pipelines.cluster import cluster, fitted, model_facts, model_spec, tables

    with cluster(address) as found:
        spec = model_spec(run.config.model, run.config.encode, found)
        encode, decode = fitted(run.config.encode, run.config.decode, spec.device, found)
        run = replace(run, config=run.config.model_copy(update={"encode": encode, "decode": decode}))
        facts = model_facts(spec)
        check_bank_fits(run.bank, run.config.labels, spec, facts)
        check_local_features(run.methods, spec, facts)
        identity = run.asked_for() | of_model(spec, facts)
        if not check_unchanged(run.output, identity, run.plan):
            begin(run.output, run.config, identity, run.plan)

        progress = every_few_seconds(say)

        def on_commit(_: str, table: pa.Table) -> None:
            tally.add(table)
            clock.add(table, time.time())
            progress(len(committer.done), len(remaining), clock.images)

        committer = Committer(run.output, fingerprint(identity), on_commit)
        for rows in tables(dataset(run, remaining, replace(spec, weights=facts.weights), facts)):
            committer.add(rows)
        if committer.unfinished() or len(committer.done) != len(remaining):
            raise RuntimeError(f"Ray ended the scan, but rows are missing of the shards {committer.unfinished()}")
        workers = {"decode": decode.workers or 0, "encode": encode.workers or 0}
        return clock.described(time.time(), workers)


def dataset(run: Run, shards: list[Shard], spec: ModelSpec, facts: ModelFacts) -> "Dataset":
    """Shards to rows of scores, streaming from one pool of actors, which reads and decodes, to another."""
    import ray.data
    from ray.data import ActorPoolStrategy

    from pipelines.cluster import limit_read_ahead

    decode, encode = run.config.decode, run.config.encode
    height, width = facts.preprocessing.size
    limit_read_ahead(encode, height * width * 3)
    rows = [pa.Table.from_pylist([asdict(shard)], PLAN_SCHEMA) for shard in shards]
    records = ray.data.from_blocks(rows).map_batches(
        DecodeShards,
        fn_constructor_args=(run.config.read, facts.preprocessing, run.options),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=decode.cpus,
        compute=ActorPoolStrategy(size=decode.workers, max_tasks_in_flight_per_actor=1),
    )
    return records.map_batches(
        EncodeImages,
        fn_constructor_args=(spec, ScoreSpec(run.bank, run.methods, run.config.embeddings)),
        batch_size=encode.batch_size,
        batch_format="pyarrow",
        num_cpus=encode.cpus,
        num_gpus=encode.gpus or None,
        compute=ActorPoolStrategy(size=encode.workers),
    )


def check_one_pass(methods: Mapping[str, Parameters], output: str) -> None:
    """Raises CallerError for a method that has to see the whole input before it scores any of it."""
    for name in methods:
        if name in LEARNS:
            raise CallerError(
                f"--method {name} learns from the whole input, and a scan goes over it once: scan with --embeddings, "
                f"then `oodscan rescore --embeddings {output.rstrip('/')}/{EMBEDDINGS} --method {name} …`"
            )


def check_local_features(methods: Mapping[str, Parameters], spec: ModelSpec, facts: ModelFacts) -> None:
    """Raises CallerError if a method needs what the model cannot give."""
    for name in methods:
        if name in NEEDS_LOCAL_FEATURES and facts.local_features is not None:
            raise CallerError(
                f"--method {name} needs local features, which --model {spec.name!r} does not give: "
                f"{facts.local_features}"
            )


def check_bank_fits(bank: LabelBank, labels: str, spec: ModelSpec, facts: ModelFacts) -> None:
    """Raises CallerError if the bank's embeddings are not this model's."""
    if bank.dim != facts.dim:
        raise CallerError(
            f"--labels {labels!r} holds embeddings of dimension {bank.dim}, --model {spec.name!r} makes {facts.dim}; "
            "build the label bank with the model that scans"
        )
    if bank.info.weights not in (None, facts.weights):
        raise CallerError(
            f"--labels {labels!r} was made with {bank.info.model!r}, whose weights are not those of --model "
            f"{spec.name!r}; build the label bank with the model that scans"
        )
