"""The pool of workers that a label bank is built with: started once, and the same for every pass over the words."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.actor_pool import ActorPool

from ood_core.criteria import Criterion
from pipelines.config.pools import EncodePool
from pipelines.label_banks.rank import LabelWorker
from pipelines.runtime.cluster import Cluster
from pipelines.runtime.model import FACTS, ModelFacts, ModelSpec, remembered
from pipelines.runtime.pools import fitted_alone

RETRIES = 3
"""How often a worker that died is started again; what it was asked is asked again, and has the same answer."""


@dataclass(frozen=True)
class LabelWorkers:
    """Workers with one model, whose facts all of them agree on."""

    actors: Sequence[Any]
    facts: ModelFacts

    def spread(self, method: str, calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Results as they come. A worker has one call at a time, and `calls` are drawn no faster than they are done."""
        pool = ActorPool(list(self.actors))
        for arguments in calls:
            if not pool.has_free():
                yield pool.get_next_unordered()
            pool.submit(lambda actor, given: getattr(actor, method).remote(*given), arguments)
        while pool.has_next():
            yield pool.get_next_unordered()

    def share(self, value: Any) -> Any:
        """A large argument of many calls, held once on every machine."""
        return ray.put(value)

    def ask(self, method: str, *arguments: Any) -> Any:
        """One worker's answer."""
        return ray.get(getattr(self.actors[0], method).remote(*arguments))


@contextmanager
def label_workers(
    spec: ModelSpec, pool: EncodePool, found: Cluster, criterion: Criterion, ids: Sequence[str], most: int
) -> Iterator[LabelWorkers]:
    """A pool that fits the cluster, of at most `most` workers. Raises CallerError if the model cannot be loaded."""
    pool = fitted_alone(pool, spec.device, found)
    prompts = criterion.prompts
    templates = {"id": prompts.id, "noun": prompts.noun, "adjective": prompts.adjective}
    remote = ray.remote(LabelWorker).options(
        num_cpus=pool.cpus, num_gpus=pool.gpus or 0, max_restarts=RETRIES, max_task_retries=RETRIES
    )
    actors = [remote.remote(spec, templates, list(ids)) for _ in range(min(pool.workers or 1, most))]
    try:
        yield LabelWorkers(actors, _facts(actors, spec))
    finally:
        for actor in actors:
            ray.kill(actor)  # pyright: ignore[reportArgumentType]


def _facts(actors: Sequence[Any], spec: ModelSpec) -> ModelFacts:
    told = set(ray.get([actor.facts.remote() for actor in actors]))
    facts = {remembered(spec, FACTS.validate_json(said)) for said in told}
    if len(facts) > 1:
        raise RuntimeError(f"--model {spec.name!r} has other weights on some workers than on others")
    return facts.pop()
