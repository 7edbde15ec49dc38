"""An earlier scan's memory, to begin with."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import Parameters, is_sequential, memory_parameters, order_of
from pipelines.config.memory import Memory
from pipelines.errors import CallerError, first_line
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.memory.files import CARRIED, EXTRA_NEGATIVES, MemoryFiles, by_method
from pipelines.scan_directory.finish import SUMMARY_FILE
from pipelines.scan_directory.identity import SCAN_FILE
from pipelines.scan_directory.layout import MEMORY
from pipelines.storage import Directory

OPTION = "--memory"


@dataclass(frozen=True)
class Carried:
    """What an earlier scan has remembered, and what that scan was (`identity`)."""

    url: str
    identity: Mapping[str, Any]
    memory: pa.Table
    extra_negatives: pa.Table | None
    version: int
    hash: str
    methods: Mapping[str, Parameters]
    dim: int

    def keep(self, files: MemoryFiles) -> None:
        """Writes a copy beside what this scan remembers, so that it depends on no other."""
        files.put(CARRIED, self.memory)

    def learned(self) -> dict[str, Candidates]:
        """What scorers are given that learn nothing more."""
        tables = {name: self.extra_negatives if name == "interneg" else self.memory for name in self.methods}
        return {name: by_method(table, [name], self.dim)[name] for name, table in tables.items() if table is not None}

    def check_weights(self, weights: str | None) -> None:
        """Raises CallerError if another model has seen the images."""
        if None not in (weights, before := self.identity.get("weights")) and weights != before:
            raise CallerError(f"{OPTION} {self.url!r} remembers images as a model of other weights saw them")


def carried_by(
    asked: Memory, methods: Mapping[str, Parameters], bank: LabelBank, options: Mapping[str, Any]
) -> Carried | None:
    """The memory that is asked for. Raises CallerError if there is none, or none that these methods can go on with."""
    if asked.uri is None:
        return None
    learners = {name: chosen for name, chosen in methods.items() if order_of(chosen)}
    url = asked.uri
    if not learners:
        raise CallerError(f"{OPTION} {url!r}: none of the methods {', '.join(methods)} learns from the images")
    if any(map(is_sequential, learners.values())):
        raise CallerError(f"{OPTION} {url!r}: sequential order begins with an empty memory")
    found = _read(url, options, learners, bank.dim)
    _check_same(url, found.identity, learners, bank.content_hash())
    if asked.freeze and found.extra_negatives is None and "interneg" in learners:
        raise CallerError(f"{OPTION} {url!r} has no extra negatives that --method interneg could go on with")
    return found


def _read(url: str, options: Mapping[str, Any], learners: Mapping[str, Parameters], dim: int) -> Carried:
    directory = Directory(url, options)
    try:
        recorded = json.loads(directory.read(SCAN_FILE))
        identity, files = dict(recorded["identity"]), MemoryFiles(directory, recorded["fingerprint"], dim)
        snapshot = files.snapshot() if directory.exists(SUMMARY_FILE) else None
        extra = files.get(EXTRA_NEGATIVES) if directory.exists(f"{MEMORY}/{EXTRA_NEGATIVES}") else None
    except FileNotFoundError as error:
        raise CallerError(f"{OPTION} {url!r} is not a scan directory: it has no {SCAN_FILE}") from error
    except (KeyError, ValueError, TypeError, *DAMAGE) as error:
        raise CallerError(f"{OPTION} {url!r} cannot be read: {first_line(error)}") from error
    if snapshot is None:
        raise CallerError(f"{OPTION} {url!r} has no whole memory: the scan has not ended, or has learned nothing")
    digest = hashlib.sha256(json.dumps([files.fingerprint, snapshot.version]).encode()).hexdigest()[:16]
    return Carried(url, identity, snapshot.table, extra, snapshot.version, digest, learners, dim)


def _check_same(url: str, identity: Mapping[str, Any], learners: Mapping[str, Parameters], bank_hash: str) -> None:
    if identity.get("labels") != bank_hash:
        raise CallerError(f"{OPTION} {url!r} was learned with another label bank")
    for name, parameters in learners.items():
        if f"{name}.groups" not in identity:
            raise CallerError(f"{OPTION} {url!r} was learned by {identity.get('method')}, not by --method {name}")
        for key, value in memory_parameters(parameters).items():
            before = identity.get(f"{name}.{key}")
            if before != value:
                raise CallerError(f"{OPTION} {url!r} was learned with {name}.{key} = {before}, which is now {value}")
