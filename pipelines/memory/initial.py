"""The memory of an earlier scan that this one begins with (`--memory`)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.memory import Candidates
from ood_core.methods import LearningMethod, Method
from pipelines.config.memory import Memory
from pipelines.errors import CallerError, first_line
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.memory.files import MemoryFiles, by_method
from pipelines.memory.orders import learning_methods
from pipelines.scan_directory.layout import EXTRA_NEGATIVES, INITIAL, SCAN_FILE, SUMMARY_FILE
from pipelines.storage import Directory


@dataclass(frozen=True)
class InitialMemory:
    """What an earlier scan has remembered, as far as the methods of this one go on with it.

    `identity`: of that scan; `version`: how many shards its memory is of; `hash`: of both, part of this scan's
    identity; `methods`: of this scan, those that learn.
    """

    url: str
    identity: Mapping[str, Any]
    memory: pa.Table
    extra_negatives: pa.Table | None
    version: int
    hash: str
    methods: Mapping[str, LearningMethod]
    dim: int

    def keep(self, files: MemoryFiles) -> None:
        """Writes a copy beside what this scan remembers, so that this scan depends on no other."""
        files.put(INITIAL, self.memory)

    def learned(self) -> dict[str, Candidates]:
        """What the scorer of each method is given if the method learns nothing more."""
        tables = {
            name: self.extra_negatives if chosen.inverts else self.memory for name, chosen in self.methods.items()
        }
        return {name: by_method(table, [name], self.dim)[name] for name, table in tables.items() if table is not None}

    def check_weights(self, weights: str | None) -> None:
        """Raises CallerError if a model of other weights has seen the images. None: the weights are not known."""
        before = self.identity.get("weights")
        if None not in (weights, before) and weights != before:
            raise CallerError(f"--memory {self.url!r} remembers images as a model of other weights saw them")


def initial_memory(
    asked: Memory, methods: Mapping[str, Method], bank: LabelBank, options: Mapping[str, Any]
) -> InitialMemory | None:
    """The memory that the scan is to begin with, None if with an empty one.

    Raises CallerError if there is no such memory, or none that these methods can go on with.
    """
    if asked.uri is None:
        return None
    learners = learning_methods(methods)
    url = asked.uri
    if not learners:
        raise CallerError(f"--memory {url!r}: none of the methods {', '.join(methods)} learns from the images")
    if any(chosen.sequential for chosen in learners.values()):
        raise CallerError(f"--memory {url!r}: sequential order begins with an empty memory")
    found = _read(url, options, learners, bank.dim)
    _check_same(url, found.identity, learners, bank.content_hash())
    for name, chosen in learners.items():
        if asked.freeze and found.extra_negatives is None and chosen.inverts:
            raise CallerError(f"--memory {url!r} has no extra negatives that --method {name} could go on with")
    return found


def _read(url: str, options: Mapping[str, Any], learners: Mapping[str, LearningMethod], dim: int) -> InitialMemory:
    directory = Directory(url, options)
    try:
        recorded = json.loads(directory.read(SCAN_FILE))
        identity, files = dict(recorded["identity"]), MemoryFiles(directory, recorded["fingerprint"], dim)
        snapshot = files.snapshot() if directory.exists(SUMMARY_FILE) else None
        extra = files.get(EXTRA_NEGATIVES) if directory.exists(EXTRA_NEGATIVES) else None
    except FileNotFoundError as error:
        raise CallerError(f"--memory {url!r} is not a scan directory: it has no {SCAN_FILE}") from error
    except (KeyError, ValueError, TypeError, *DAMAGE) as error:
        raise CallerError(f"--memory {url!r} cannot be read: {first_line(error)}") from error
    if snapshot is None:
        raise CallerError(f"--memory {url!r} has no whole memory: the scan has not ended, or has learned nothing")
    digest = hashlib.sha256(json.dumps([files.fingerprint, snapshot.version]).encode()).hexdigest()[:16]
    return InitialMemory(url, identity, snapshot.table, extra, snapshot.version, digest, learners, dim)


def _check_same(url: str, identity: Mapping[str, Any], learners: Mapping[str, LearningMethod], bank_hash: str) -> None:
    """Raises CallerError if the memory is of another label bank, method or parameter that decides what it holds."""
    if identity.get("labels") != bank_hash:
        raise CallerError(f"--memory {url!r} was learned with another label bank")
    for name, chosen in learners.items():
        if f"{name}.groups" not in identity:
            raise CallerError(f"--memory {url!r} was learned by {identity.get('method')}, not by --method {name}")
        for key, value in chosen.memory_parameters.items():
            before = identity.get(f"{name}.{key}")
            if before != value:
                raise CallerError(f"--memory {url!r} was learned with {name}.{key} = {before}, which is now {value}")
