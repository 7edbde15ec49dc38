"""The real memory, without Ray: what each thing costs an actor, and a small scan that `memory_load` also draws."""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from time import process_time
from typing import Any

import numpy as np
from ray.cloudpickle.cloudpickle import dumps, loads

from infra.benchmarks.memory_load import Cluster, Count, Simulation
from ood_core.memory import Candidates, MemoryBank
from pipelines.memory.actor import Cursor, MemoryActor, MemorySpec
from pipelines.memory.client import Answer, MemoryClient
from pipelines.memory.files import MemoryFiles, memory_table
from pipelines.storage import Directory

METHOD, MANY, OFTEN, TIMES = "adaneg", 2000, 999, 30
"""MANY images at once; small calls are made OFTEN, large ones so many TIMES."""
NEVER = 10**9
"""A version that nothing is newer than."""
SMALL, SEEDS = Cluster(images=100_000, workers=20, groups=20, batch=100, id_labels=50, negatives=150), 5
ORDERS = ("transductive", "streaming")
Costs = dict[str, float]


def spec_of(of: Cluster, rows: int, order: str, dim: int) -> MemorySpec:
    """Of a memory with an empty folder of its own."""
    files = MemoryFiles(Directory(f"memory://{uuid.uuid4().hex}"), "", dim)
    streaming = frozenset({METHOD} if order == "streaming" else ())
    return MemorySpec("memory", files, {METHOD: np.full(rows, of.keep)}, of.actors, streaming)


class LocalActors:
    """A memory's actors in this process, at a time that is set; counts what they are asked."""

    def __init__(self, spec: MemorySpec) -> None:
        self.now, self.counts = 0.0, np.zeros(len(Count))
        self.actors = [self._actor(spec, part) for part in range(spec.parts)]

    def ask(self, part: int, method: str, *arguments: Any) -> Answer:
        found = getattr(self.actors[part], method)(*arguments)
        if method == "offer":
            self.counts[[Count.CALLS, Count.TOLD]] += [1, len(found.bounds[METHOD].rows)]
        if method == "published":
            self.counts[[Count.REFRESHES, Count.FETCHED]] += [1, sum(one.images for one in found[1])]
        return lambda: found

    def fetch(self, published: Any) -> Any:
        return published

    def counted(self, dim: int) -> np.ndarray:
        """By `Count`: all but what is copied, and how old the news is."""
        meters = [actor.meters.counted[METHOD] for actor in self.actors]
        names = {Count.OFFERED: "offered", Count.ENTERED: "entered", Count.PUBLISHED: "published_bytes"}
        for count, name in names.items():
            self.counts[count] = sum(meter[name] for meter in meters)
        self.counts[Count.PUBLISHED] /= 8 + 4 * dim
        return self.counts

    def _actor(self, spec: MemorySpec, part: int) -> MemoryActor:
        return MemoryActor(spec, part, put=lambda content: content, clock=lambda: self.now)


def done(of: Cluster) -> np.ndarray:
    """A scan in streaming order by real gates and actors, image by image: sums by `Count`. Raises RuntimeError unless
    the memory is left with exactly the best of all images."""
    rng, popularity, dim = np.random.default_rng(of.seed), of.popularity(), 1
    actors = LocalActors(spec_of(of, of.rows, "streaming", dim))
    workers = [MemoryClient(spec_of(of, of.rows, "streaming", dim), actors) for _ in range(of.workers)]
    best, held = (MemoryBank(np.full(of.rows, of.keep), dim) for _ in range(2))
    for turn in range(of.images // of.batch):
        actors.now, worker, count = turn * of.turn_s, workers[turn % of.workers], rng.binomial(of.batch, of.confident)
        rows, keys = rng.choice(of.rows, count, p=popularity), [f"{turn}/{index}" for index in range(count)]
        images = Candidates(rows, rng.random(count), keys, np.zeros((count, dim), np.float32))
        best.offer(images)
        worker.offer({METHOD: images})
        if of.refreshes(turn):
            worker.refresh()
    for actor in actors.actors:
        held.offer(actor.live[METHOD].snapshot())
    if held.snapshot().keys != best.snapshot().keys:
        raise RuntimeError("a gate has held back one of the best images")
    return actors.counted(dim)


def check() -> list[dict[str, Any]]:
    """A small scan, drawn and done; means over seeds."""
    named = {"calls": Count.CALLS, "offers": Count.OFFERED, "entering": Count.ENTERED, "bounds told": Count.TOLD}
    named |= {"published": Count.PUBLISHED, "fetched": Count.FETCHED}
    rows = []
    for actors in (1, 2):
        scans = [replace(SMALL, actors=actors, seed=seed) for seed in range(SEEDS)]
        runs = {"drawn": [Simulation(of).run().sum(axis=(0, 2)) for of in scans], "done": [done(of) for of in scans]}
        for how, sums in runs.items():
            mean = np.mean(sums, axis=0)
            rows.append({"": how, "actors": actors} | {name: float(mean[count]) for name, count in named.items()})
    return rows


def least_us(call: Callable[[Any], object], given: Iterable[Any]) -> float:
    """CPU time; the least of several calls, as other work runs beside them."""

    def once(argument: Any) -> float:
        begun = process_time()
        call(argument)
        return process_time() - begun

    return min(map(once, given)) * 1e6


def images_of(count: int, dim: int, priority: float, first: int = 0) -> Candidates:
    """One image for each of so many even rows."""
    keys = [f"part-00012/images/{first + index:012d}.jpg" for index in range(count)]
    return Candidates(np.arange(count) * 2, np.full(count, priority), keys, np.ones((count, dim), np.float32))


def offer_costs(of: Cluster, order: str) -> tuple[LocalActors, Costs]:
    """Of offers' calls, in microseconds and bytes; and an actor with MANY full rows."""
    dim = of.dim if order == "streaming" else 0
    actors = LocalActors(spec_of(of, max(of.rows, 2 * MANY), order, of.dim))
    batches = [images_of(MANY, dim, -float(number), number * MANY) for number in range(of.keep + TIMES)]
    actor = actors.actors[0]

    def offer(images: Candidates) -> bytes:
        return dumps(actor.offer({METHOD: images}, Cursor(actor.incarnation, NEVER)))

    def call(blob: bytes) -> bytes:
        return offer(loads(blob))

    entered = [least_us(offer, [one]) for one in batches]
    blobs = [dumps(images_of(count, dim, 1.0)) for count in (1, MANY)]
    alone = least_us(call, blobs[:1] * OFTEN)
    refused = least_us(offer, [images_of(MANY, dim, 1.0)] * OFTEN) / MANY
    nothing = least_us(lambda _: dumps(actor.offer({}, Cursor(actor.incarnation, NEVER))), range(OFTEN))
    told = least_us(lambda _: dumps(actor.offer({}, Cursor())), range(OFTEN)) - nothing
    return actors, {
        f"{order}: call of one image, without Ray, µs": alone,
        f"{order}: image read and refused, µs": (least_us(call, blobs[1:] * TIMES) - alone) / MANY,
        f"{order}: image entered, µs": min(entered[of.keep :]) / MANY - refused,
        f"{order}: image, bytes": len(blobs[1]) / MANY,
        f"{order}: bound told, µs": told / MANY,
        f"{order}: bound told, bytes": len(dumps(actor.offer({}, Cursor()))) / MANY,
    }


def commit_costs(of: Cluster) -> Costs:
    """Of a shard's commit, an image: of the actor's own rows, and of another actor's."""
    found = {}
    for part, name in enumerate(("its own", "another's")):
        actor = LocalActors(replace(spec_of(of, 2 * MANY, "transductive", of.dim), parts=2)).actors[part]
        batches = [images_of(MANY, of.dim, -float(number), number * MANY) for number in range(of.keep + TIMES)]
        tables = [memory_table(METHOD, images) for images in batches]
        spent = [least_us(partial(actor.commit, str(number)), [table]) for number, table in enumerate(tables)]
        found[f"image committed, of {name} rows, µs"] = min(spent[of.keep :]) / MANY
    return found


def publication_costs(of: Cluster, actors: LocalActors) -> Costs:
    """Of an actor's publications, and of the workers that fetch them. `actors`: with MANY full rows."""
    actor, rows, images = actors.actors[0], (np.arange(MANY) * 2).tolist(), MANY * of.keep
    workers = [MemoryClient(actor.spec, actors) for _ in range(TIMES)]
    bounds, bank = actor.live[METHOD].bounds(), actor.live[METHOD]

    def refresh(worker: MemoryClient) -> None:
        worker.refresh()
        worker.view(METHOD)

    refreshed = least_us(refresh, workers[:9])
    content, seen = bank.snapshot(), workers[0].seen[0]

    return {
        "call for publications, without Ray, µs": least_us(lambda _: dumps(actor.published(seen)), range(OFTEN)),
        "image copied, µs": least_us(bank.snapshot, [rows] * TIMES) / images,
        "image put into the object store, µs": least_us(dumps, [(content.rows, content.embeddings)] * TIMES) / images,
        "image published, bytes": (content.rows.nbytes + content.embeddings.nbytes) / images,
        "worker: image fetched and viewed, µs": refreshed / images,
        "worker: bound heard, µs": least_us(lambda worker: worker.gates[METHOD].hear(bounds), workers) / MANY,
    }


def measured(of: Cluster) -> Costs:
    """Microseconds and bytes."""
    (_, transductive), (actors, streaming) = (offer_costs(of, order) for order in ORDERS)
    return (
        {"call by Ray itself, µs": of.call_us}
        | transductive
        | streaming
        | publication_costs(of, actors)
        | commit_costs(of)
    )


def prices(cost: Costs, order: str) -> dict[str, dict[Count, float]]:
    """What an actor's time goes to, and what each count takes of it, in microseconds."""
    call, refused, entered, told = (
        cost[f"{order}: {what}, µs"]
        for what in ("call of one image, without Ray", "image read and refused", "image entered", "bound told")
    )
    ray, asked = cost["call by Ray itself, µs"], cost["call for publications, without Ray, µs"]
    spent = {
        "Ray's own": {Count.CALLS: ray},
        "calls": {Count.CALLS: call},
        "images": {Count.OFFERED: refused, Count.ENTERED: entered},
        "bounds": {Count.TOLD: told},
    }
    if order == "streaming":
        spent["Ray's own"] |= {Count.REFRESHES: ray}
        spent["calls"] |= {Count.REFRESHES: asked}
        copied, put = cost["image copied, µs"], cost["image put into the object store, µs"]
        spent["publications"] = {Count.COPIED: copied, Count.PUBLISHED: put}
    return spent
