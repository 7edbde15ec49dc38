"""What a scan's rows depend on, recorded in `scan.json`; a rerun that differs in it is refused."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ood_core.methods import LearningMethod, Method, bases_of, of_images
from pipelines.config.nightly import Nightly
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError, first_line
from pipelines.inputs.plan import Plan, Shard, read_plan
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.runtime.model import ModelFacts, ModelSpec
from pipelines.scan_directory.layout import (
    CANDIDATES,
    EMBEDDINGS,
    ENCODED,
    PLAN_FILE,
    SCAN_FILE,
    SCORED,
    SCORES,
    VOTES,
    committed,
)
from pipelines.storage import Directory

VERSIONS = ("oodscan", "open_clip_torch", "pillow", "pyarrow", "ray", "torch")


def asked_for(config: Scan | Rescore, methods: Mapping[str, Method], bank_hash: str, plan: Plan) -> dict[str, Any]:
    """The part of a scan's identity that is known before a worker is asked: methods, label bank, settings and input."""
    parameters = {f"{name}.{key}": value for name, chosen in methods.items() for key, value in vars(chosen).items()}
    return {
        "method": ", ".join(methods),
        **parameters,
        "labels": bank_hash,
        **config.settings(),
        "input": plan.fingerprint,
    }


def model_identity(spec: ModelSpec, facts: ModelFacts) -> dict[str, Any]:
    """The part of a scan's identity that says which model encodes, and how.

    `facts`: as the worker told them that describes the model: what it computes with belongs to a row's last bits.
    """
    machine = {} if facts.machine is None else dict(vars(facts.machine))
    if spec.mixed:
        machine["processor"] = "mixed"
    return {
        "model": spec.name.rpartition("/")[2] if spec.name.startswith("local-dir:") else spec.name,
        "pretrained": spec.pretrained,
        "weights": facts.weights,
        "preprocessing": json.loads(json.dumps(vars(facts.preprocessing))),
        "device": spec.device,
        **machine,
        "dtype": spec.dtype,
        "encode.block": spec.block,
        "compile": spec.compiled,
    }


def fingerprint(identity: Mapping[str, Any]) -> str:
    """The hash of all that a scan's rows depend on; every committed table carries it."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Fingerprints:
    """What the committed tables of a scan carry.

    `whole`: of all that the scan depends on; `rows`: of what a row depends on that is scored without a look at others,
    so that tables of an unchanged shard are the same in scans of other inputs; `scores`: which of the two score tables
    carry, and the embeddings beside them.
    """

    whole: str
    rows: str
    scores: str

    @classmethod
    def of_identity(
        cls, identity: Mapping[str, Any], methods: Mapping[str, Method], freeze_memory: bool
    ) -> "Fingerprints":
        """Of a scan by these methods. `freeze_memory`: whether those that learn do not."""
        whole = rows = fingerprint(identity)
        if learning_orders(methods, freeze_memory) <= {"transductive"}:
            others = of_other_images(freeze_memory)
            rows = fingerprint({name: value for name, value in identity.items() if name not in others})
        return cls(whole, rows, rows if scored_alone(methods, freeze_memory) else whole)

    @classmethod
    def one(cls, value: str) -> "Fingerprints":
        """The same for all tables."""
        return cls(value, value, value)

    def of(self, folder: str) -> str:
        """What the tables of a folder carry."""
        return {ENCODED: self.rows, SCORES: self.scores, EMBEDDINGS: self.scores}.get(folder, self.whole)


def of_other_images(freeze_memory: bool) -> tuple[str, ...]:
    """The parts of a scan's identity that an image's row does not depend on if it is scored without a look at others.

    A memory is one of them unless it is frozen: else scores by it are made once all images have been learned from.
    """
    return ("input", "reference") if freeze_memory else ("input", "reference", "memory")


def scored_alone(methods: Mapping[str, Method], freeze_memory: bool) -> bool:
    """Whether every image is scored without a look at others of the input."""
    return not (learning_orders(methods, freeze_memory) or bases_of(methods))


def learning_orders(methods: Mapping[str, Method], freeze_memory: bool) -> set[str]:
    """The orders in which the methods learn from the images. `freeze_memory`: whether a memory that they have is not
    added to."""
    learning = [
        chosen for chosen in of_images(methods).values() if not (freeze_memory and isinstance(chosen, LearningMethod))
    ]
    return {chosen.learning_order for chosen in learning if chosen.learning_order is not None}


def check_unchanged(output: Directory, identity: Mapping[str, Any], plan: Plan) -> bool:
    """Whether this very scan was begun in the directory before.

    `identity` may be a part of it. Raises CallerError, naming the first difference, if another scan lies there.
    """
    try:
        recorded = dict(json.loads(output.read(SCAN_FILE))["identity"])
    except FileNotFoundError:
        for folder in (SCORES, ENCODED, SCORED, CANDIDATES, VOTES):
            if committed(output, folder):
                raise CallerError(
                    f"--output {output.url!r} holds {folder}/ of a scan that has lost its {SCAN_FILE}; "
                    "use another --output"
                ) from None
        return False
    except (ValueError, KeyError, TypeError) as error:
        raise CallerError(f"--output {output.url!r} holds a {SCAN_FILE} that cannot be read: {error}") from error
    for name, value in identity.items():
        if name == "input" and recorded.get(name) != value:
            difference = _changed_input(_recorded_plan(output), plan.shards)
        elif recorded.get(name) != value:
            difference = f"{name} was {recorded.get(name)!r} and is now {value!r}"
        else:
            continue
        raise CallerError(
            f"--output {output.url!r} holds another scan: {difference}; "
            "use another --output, or --new-scan to start over"
        )
    return True


def plan_with_gone(output: Directory, plan: Plan) -> Plan | None:
    """The recorded plan, if the given one is the same but for shards that are gone from the input; else None."""
    try:
        if json.loads(output.read(SCAN_FILE))["identity"]["input"] == plan.fingerprint:
            return None
        recorded = read_plan(output.read(PLAN_FILE))
    except (*DAMAGE, ValueError, KeyError, TypeError):  # for `check_unchanged` to say
        return None
    now = {shard.id: shard.fingerprint for shard in plan.shards}
    left = [shard for shard in recorded if shard.id in now]
    same = [(shard.id, shard.fingerprint) for shard in left] == list(now.items())
    return Plan(recorded, plan.passed_over) if same and len(left) < len(recorded) else None


def recorded_fingerprints(output: Directory, methods: Mapping[str, Method], freeze_memory: bool) -> Fingerprints | None:
    """The fingerprints of the scan by these methods that was begun in the directory, None if there is none.

    `check_unchanged` has read it before. Raises CallerError if the fingerprint is not that of what is recorded with it.
    """
    try:
        recorded = json.loads(output.read(SCAN_FILE))
    except FileNotFoundError:
        return None
    if recorded.get("fingerprint") != fingerprint(recorded["identity"]):
        raise CallerError(
            f"--output {output.url!r} holds a {SCAN_FILE} that was changed: its fingerprint is not that of what it "
            "records; use another --output, or --new-scan to start over"
        )
    return Fingerprints.of_identity(recorded["identity"], methods, freeze_memory)


def mend_plan(output: Directory, plan: Plan) -> bool:
    """Writes plan.parquet again if it is missing, damaged or of another plan; returns whether it was."""
    try:
        if Plan(read_plan(output.read(PLAN_FILE)), {}).fingerprint == plan.fingerprint:
            return False
    except (*DAMAGE, ValueError, KeyError, TypeError):
        pass
    output.put(PLAN_FILE, plan.to_parquet())
    return True


def recorded_shards(output: Directory) -> dict[str, str]:
    """The fingerprint of each shard of the recorded plan, by the shard's id; none if no scan was begun.

    Raises CallerError if the plan cannot be read.
    """
    return {shard.id: shard.fingerprint for shard in _recorded_plan(output)} if output.exists(PLAN_FILE) else {}


def begin(output: Directory, config: Scan | Rescore, identity: Mapping[str, Any], plan: Plan) -> None:
    """Writes plan.parquet and scan.json, before the first row is committed."""
    output.put(PLAN_FILE, plan.to_parquet())
    record = {
        "fingerprint": fingerprint(identity),
        "identity": identity,
        "config": config.model_dump(mode="json"),
        "versions": {name: version(name) for name in VERSIONS},
    }
    output.put(SCAN_FILE, (json.dumps(record, indent=2) + "\n").encode())


def record_nightly(output: Directory, config: Scan | Rescore) -> None:
    """Records what the last run makes of the rows, of which the rest of the configuration says how they are made."""
    recorded = json.loads(output.read(SCAN_FILE))
    before = recorded["config"]
    recorded["config"] = {**before, **config.model_dump(mode="json", include=set(Nightly.model_fields))}
    if recorded["config"] != before:
        output.put(SCAN_FILE, (json.dumps(recorded, indent=2) + "\n").encode())


def _recorded_plan(output: Directory) -> list[Shard]:
    try:
        return read_plan(output.read(PLAN_FILE))
    except DAMAGE as error:
        raise CallerError(
            f"--output {output.url!r} holds a {PLAN_FILE} that cannot be read: {first_line(error)}"
        ) from error


def _changed_input(before: list[Shard], now: list[Shard]) -> str:
    earlier, later = (
        {url: size for shard in plan for url, size in zip(shard.urls, shard.sizes, strict=True)}
        for plan in (before, now)
    )
    for url, size in later.items():
        if url not in earlier:
            return f"input {url!r} is new"
        if earlier[url] != size:
            return f"input {url!r} has changed"
    gone = next((url for url in earlier if url not in later), None)
    if gone is not None:
        return f"input {gone!r} is gone"
    fingerprints = {shard.id: shard.fingerprint for shard in before}
    for shard in now:
        if shard.id in fingerprints and fingerprints[shard.id] != shard.fingerprint:
            others = f", or another file of {shard.id}," if len(shard.urls) > 1 else ""
            return f"input {shard.urls[0]!r}{others} has changed"
    return "the inputs come in another order"
