"""A scan or rescoring as it was asked for, and every mistake in it that needs no worker to find."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ood_core.labels import LabelBank
from ood_core.methods import Method, bases_of
from pipelines.config.image_judges import AnsweringImageJudge
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.consensus.checks import check_base
from pipelines.flags.asked import AskedFlags
from pipelines.inputs.label_bank import check_corpus, check_negatives, load_bank
from pipelines.inputs.plan import Plan
from pipelines.inputs.reference import Reference, plan_reference
from pipelines.memory.initial import InitialMemory, initial_memory
from pipelines.memory.orders import check_orders
from pipelines.scan_directory.identity import asked_for, check_unchanged, learning_orders, plan_with_gone, scored_alone
from pipelines.scan_directory.layout import ENCODED, SCORES
from pipelines.scans.checks import TextSource
from pipelines.scans.since import Since, held_against, read_since
from pipelines.storage import Directory
from pipelines.verdicts.given import given_verdicts
from pipelines.verdicts.kept import Verdicts


@dataclass(frozen=True)
class Planned:
    """What is to be read. `config`: with everything decided that the label bank decides; `texts`: of a rescoring;
    `gone`: shards of the plan that are no longer in the input."""

    config: Scan | Rescore
    plan: Plan
    texts: TextSource | None = None
    gone: int = 0


PlanInput = Callable[[Any, Mapping[str, Method], LabelBank, Mapping[str, Any]], Planned]
"""Plans the input from configuration, methods, label bank and storage options. Raises CallerError for mistakes."""


@dataclass(frozen=True)
class Request:
    """A scan or rescoring as asked for. `options`: of remote file systems; `initial`: the memory it begins with;
    `reference`: images that are known to belong; `flags`: where scores are to be cut; `since`: last night's scan;
    `verdicts`: what was said of some images, tonight or before."""

    planned: Planned
    options: Mapping[str, Any] = field(repr=False)
    methods: Mapping[str, Method]
    bank: LabelBank
    output: Directory
    initial: InitialMemory | None
    reference: Reference | None
    flags: AskedFlags
    since: Since | None
    verdicts: Verdicts

    @classmethod
    def prepare(
        cls, config: Scan | Rescore, options: Mapping[str, Any], plan_input: PlanInput, new_scan: bool
    ) -> "Request":
        """Raises CallerError for whatever the caller has to mend. Removes nothing, `new_scan` or not."""
        methods = config.methods()
        bank = load_bank(Directory(config.labels, options))
        check_negatives(methods, bank, config.labels)
        check_corpus(methods, bank, config.labels)
        check_orders(methods)
        check_base(methods)
        initial = initial_memory(config.memory, methods, bank, options)
        reference = plan_reference(config, bank.dim, options)
        if reference:
            reference.check_weights(bank.info.weights)
        earlier = read_since(config, options)
        flags = AskedFlags.prepare(
            config, methods, bank.content_hash(), options, reference, earlier.directory if earlier else None
        )
        flags.check_weights(bank.info.weights)
        flags.check_enough()
        if isinstance(config, Scan) and isinstance(config.image_judge, AnsweringImageJudge):
            from pipelines.verdicts.judge import check_image_judge

            check_image_judge(config.image_judge, methods, options)
        output = Directory(config.output, options)
        verdicts = given_verdicts(config.verdicts, output, earlier.directory if earlier else None, methods, bank.dim)
        verdicts.check_weights(bank.info.weights)
        planned = plan_input(config, methods, bank, options)
        flags.check_group(config, planned.plan.shards, options)
        output.check_writable("--output")
        since = held_against(earlier, planned.plan.shards) if earlier else None
        if not new_scan and (before := plan_with_gone(output, planned.plan)):
            planned = replace(planned, plan=before, gone=len(before.shards) - len(planned.plan.shards))
        request = cls(planned, options, methods, bank, output, initial, reference, flags, since, verdicts)
        if since:
            since.check_identity(request.identity())
        if not new_scan:
            check_unchanged(output, request.identity(), request.plan)
        return request

    @property
    def config(self) -> Scan | Rescore:
        return self.planned.config

    @property
    def plan(self) -> Plan:
        return self.planned.plan

    @property
    def learns(self) -> bool:
        """Whether an image's scores depend on all others."""
        return not scored_alone(self.methods, self.config.memory.freeze)

    @property
    def first_folder(self) -> str:
        """Where the first step commits: to the score tables, unless later steps go on from its rows."""
        learning = learning_orders(self.methods, self.config.memory.freeze)
        return ENCODED if bases_of(self.methods) or "transductive" in learning else SCORES

    def identity(self) -> dict[str, Any]:
        """What the rows depend on, as far as it is known before a worker is asked."""
        known = asked_for(self.config, self.methods, self.bank.content_hash(), self.plan)
        texts = {"text_embeddings": self.planned.texts.table_hash} if self.planned.texts else {}
        reference = {"reference": self.reference.plan.fingerprint} if self.reference else {}
        return known | texts | reference | {"memory": self.initial.hash if self.initial else None}

    def reads(self) -> dict[str, list[str]]:
        """The URLs that are read, by the option that names them."""
        config, texts = self.config, self.planned.texts
        option = "--input" if isinstance(config, Scan) else "--embeddings"
        found = {option: [url for shard in self.plan.shards for url in shard.urls], "--labels": [config.labels]}
        if config.memory.uri:
            found["--memory"] = [config.memory.uri]
        if self.since:
            found["--since"] = [self.since.record.directory.url]
        if self.config.calibrate:
            found["--calibrate"] = [self.config.calibrate]
        if self.reference:
            found["--reference"] = [url for shard in self.reference.plan.shards for url in shard.urls]
        if texts and texts.table:
            found["--text-embeddings"] = [texts.table]
        return found
