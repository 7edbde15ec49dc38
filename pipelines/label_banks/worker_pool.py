"""The pool of workers that a label bank is built with: started once, used for every pass over the words."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.actor_pool import ActorPool

from ood_core.criteria import Criterion
from pipelines.config.pools import EncodePool
from pipelines.label_banks.worker import LabelWorker
from pipelines.runtime.cluster import Cluster
from pipelines.runtime.model import FACTS, ModelFacts, ModelSpec, checked_facts
from pipelines.runtime.pools import fit_encoders

RETRIES = 3
"""How often a worker that died is started again, and a call that it lost is repeated."""


@dataclass(frozen=True)
class LabelWorkerPool:
    """Running workers, all with the same model. `facts`: what they say of it."""

    actors: Sequence[Any]
    facts: ModelFacts

    def spread(self, method: str, calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Calls a worker's method with each of `calls`' arguments; yields the results as they come, in any order.

        A worker has one call at a time, and `calls` are drawn no faster than they are done.
        """
        pool = ActorPool(list(self.actors))
        for arguments in calls:
            if not pool.has_free():
                yield pool.get_next_unordered()
            pool.submit(lambda actor, given: getattr(actor, method).remote(*given), arguments)
        while pool.has_next():
            yield pool.get_next_unordered()

    def share(self, value: Any) -> Any:
        """A reference to a large argument of many calls, which is then held once on every machine."""
        return ray.put(value)

    def ask(self, method: str, *arguments: Any) -> Any:
        """The result of one call, made by the first worker."""
        return ray.get(getattr(self.actors[0], method).remote(*arguments))


@contextmanager
def label_worker_pool(
    spec: ModelSpec, pool: EncodePool, found: Cluster, criterion: Criterion, ids: Sequence[str], most: int
) -> Iterator[LabelWorkerPool]:
    """Starts a pool that fits the cluster, of at most `most` workers, and stops it at the end.

    Raises CallerError if the pool asked for does not fit or the model cannot be loaded.
    """
    pool = fit_encoders(pool, spec.device, found)
    prompts = criterion.prompts
    templates = {"id": prompts.id, "noun": prompts.noun, "adjective": prompts.adjective}
    remote = ray.remote(LabelWorker).options(
        num_cpus=pool.cpus, num_gpus=pool.gpus or 0, max_restarts=RETRIES, max_task_retries=RETRIES
    )
    actors = [remote.remote(spec, templates, list(ids)) for _ in range(min(pool.least_workers or 1, most))]
    try:
        yield LabelWorkerPool(actors, _facts(actors, spec))
    finally:
        for actor in actors:
            ray.kill(actor)  # pyright: ignore[reportArgumentType]


def _facts(actors: Sequence[Any], spec: ModelSpec) -> ModelFacts:
    """The model's facts. Raises RuntimeError if workers have loaded different weights."""
    told = set(ray.get([actor.facts.remote() for actor in actors]))
    facts = {checked_facts(spec, FACTS.validate_json(said)) for said in told}
    if len({known.weights for known in facts}) > 1:
        raise RuntimeError(f"--model {spec.name!r} has other weights on some workers than on others")
    return facts.pop()
