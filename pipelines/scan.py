"""The scan: from image shards to score tables. Rerun it to resume; what is committed stays as it is."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.labels import LabelBank
from ood_core.methods import NEEDS_NEGATIVES, Parameters, score_column
from pipelines.commit import EMBEDDINGS, SCORES, Committer, committed, part_name
from pipelines.config import Scan
from pipelines.errors import CallerError
from pipelines.identity import PLAN_FILE, SCAN_FILE, asked_for, begin, check_unchanged, fingerprint, of_model
from pipelines.label_files import load_bank
from pipelines.plan import SCHEMA as PLAN_SCHEMA
from pipelines.plan import Plan, Shard, plan
from pipelines.stages.decode import DecodeShards
from pipelines.stages.encode import EncodeImages, ModelFacts, ModelSpec, ScoreSpec
from pipelines.storage import Directory
from pipelines.summary import Clock, Tally

if TYPE_CHECKING:
    from ray.data import Dataset

SUMMARY_FILE, SUCCESS_FILE = "summary.json", "_SUCCESS"
Say = Callable[[str], None]


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
        for name in methods:
            if name in NEEDS_NEGATIVES and not bank.negative_count:
                raise CallerError(f"--method {name} needs negative labels, and --labels {config.labels!r} has none")
        model = config.model
        if model.name is None and bank.info.model:
            model = model.model_copy(update={"name": bank.info.model, "pretrained": bank.info.pretrained})
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


def clear(output: Directory) -> None:
    """Remove what a scan wrote, and nothing else."""
    for name in (SUCCESS_FILE, SUMMARY_FILE, SCORES, EMBEDDINGS, PLAN_FILE, SCAN_FILE):
        output.remove(name)


def scan(run: Run, address: str | None = None, say: Say = lambda _: None) -> dict[str, Any]:
    """Scores what is not yet committed, and returns the summary of the whole scan, as in `summary.json`."""
    started = time.time()
    remaining = run.remaining()
    say(f"{len(run.plan.shards)} shards planned, {len(run.plan.shards) - len(remaining)} already committed")
    tally, performance = Tally(), {"images": 0}
    done = {shard.id for shard in run.plan.shards} - {shard.id for shard in remaining}
    for shard_id in sorted(done):
        content = run.output.read(f"{SCORES}/{part_name(shard_id)}")
        wanted = ["status", *map(score_column, run.methods)]
        tally.add(pq.read_table(pa.BufferReader(content), columns=wanted))
    if remaining:
        run.output.remove(SUCCESS_FILE)
        performance = _score(run, remaining, tally, Clock(started), address, say)
    return _finish(run, tally, performance)


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
        decoders, encoders = decode.workers or 0, encode.workers or 0
        workers = {"read_s": decoders, "decode_s": decoders, "encode_s": encoders, "score_s": encoders}
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


def every_few_seconds(say: Say, wait_s: float = 5.0) -> Callable[[int, int, int], None]:
    """Says how far the scan has come: after the first shard, then now and then, and after the last."""
    begun, said = time.monotonic(), 0.0

    def progress(done: int, shards: int, images: int) -> None:
        nonlocal said
        now = time.monotonic()
        if done == shards or now - said >= wait_s:
            say(f"{done} of {shards} shards committed, {images} images, {now - begun:.0f} s")
            said = now

    return progress


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


def _finish(run: Run, tally: Tally, performance: dict[str, Any]) -> dict[str, Any]:
    within_budget = tally.bad_fraction <= run.config.max_bad_fraction
    summary = {
        **tally.described(),
        "shards": len(run.plan.shards),
        "passed_over": dict(run.plan.passed_over),
        "max_bad_fraction": run.config.max_bad_fraction,
        "within_error_budget": within_budget,
        "last_run": performance,
    }
    recorded = summary
    if not performance["images"] and run.output.exists(SUMMARY_FILE):  # what the last run cost that did anything
        recorded = summary | {"last_run": json.loads(run.output.read(SUMMARY_FILE))["last_run"]}
    run.output.put(SUMMARY_FILE, (json.dumps(recorded, indent=2) + "\n").encode())
    if within_budget:
        run.output.put(SUCCESS_FILE, b"")
    else:
        run.output.remove(SUCCESS_FILE)
    return summary
