"""The scan: from image shards to score tables. Rerun it to resume; what is committed stays as it is."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ood_core.labels import LabelBank
from ood_core.methods import Parameters
from pipelines.config.scan import Scan
from pipelines.consensus.step import check_base
from pipelines.consensus.step import described as consensus_described
from pipelines.errors import CallerError
from pipelines.inputs.label_bank import check_negatives, load_bank, model_of
from pipelines.inputs.plan import Plan, plan
from pipelines.memory.initial import Carried, carried_by
from pipelines.memory.step import check_orders, described, is_in_order
from pipelines.scan_directory.finish import SUCCESS_FILE, Say, clear, finish, tallied
from pipelines.scan_directory.identity import asked_for, check_unchanged
from pipelines.scan_directory.layout import EMBEDDINGS, FIRST_PASS, SECOND_PASS, committed
from pipelines.scan_directory.summary import Clock
from pipelines.storage import Directory


@dataclass(frozen=True)
class Run:
    """A scan as asked for, every mistake that needs no worker to find already found."""

    config: Scan
    options: Mapping[str, Any]
    methods: Mapping[str, Parameters]
    bank: LabelBank
    plan: Plan
    output: Directory
    carried: Carried | None = None

    @classmethod
    def prepare(cls, config: Scan, options: Mapping[str, Any], new_scan: bool = False) -> "Run":
        """Raises CallerError for whatever the caller has to mend."""
        methods = config.methods()
        bank = load_bank(Directory(config.labels, options))
        check_negatives(methods, bank, config.labels)
        check_no_sequence(methods, config.output)
        check_orders(methods)
        check_base(methods)
        carried = carried_by(config.memory, methods, bank, options)
        model = model_of(config.model, bank)
        if model.name is None:
            raise CallerError(f"--model is missing, and --labels {config.labels!r} does not say which it was made with")
        planned = plan(config.input, config.read, options)
        output = Directory(config.output, options)
        output.check_writable("--output")
        if new_scan:
            clear(output)
        run = cls(config.model_copy(update={"model": model}), options, methods, bank, planned, output, carried)
        check_unchanged(output, run.asked_for(), planned)
        return run

    def asked_for(self) -> dict[str, Any]:
        known = asked_for(self.config, self.methods, self.bank.content_hash(), self.plan)
        return known | {"memory": self.carried.hash if self.carried else None}


def scan(run: Run, address: str | None = None, say: Say = lambda _: None) -> dict[str, Any]:
    """Scores what is not yet committed, and returns the summary of the whole scan, as in `summary.json`."""
    started = time.time()
    done = committed(run.output)
    remaining = [shard for shard in run.plan.shards if shard.id not in done]
    say(f"{len(run.plan.shards)} shards planned, {len(run.plan.shards) - len(remaining)} already committed")
    tally = tallied(run.output, {shard.id for shard in run.plan.shards} & done, run.methods)
    performance: dict[str, Any] = {"images": 0}
    if remaining:
        run.output.remove(SUCCESS_FILE)
        from pipelines.runtime.cluster import cluster
        from pipelines.scans.steps import Work

        with cluster(address) as found:
            performance = Work.begun(run, found).score(remaining, tally, Clock(started), say)
    learned = described(run.output, run.config, run.bank) | consensus_described(run.output, run.methods)
    summary = finish(run.output, run.plan, run.config.max_bad_fraction, tally, performance, learned)
    for folder in (FIRST_PASS, SECOND_PASS):
        run.output.remove(folder)
    return summary


def check_no_sequence(methods: Mapping[str, Parameters], output: str) -> None:
    """Raises CallerError for the papers' order, which is that of one process."""
    if is_in_order(methods):
        raise CallerError(
            "--order sequential is that of one process: scan with --embeddings, then `oodscan rescore --embeddings "
            f"{output.rstrip('/')}/{EMBEDDINGS} --order sequential …`"
        )
