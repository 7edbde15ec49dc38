"""What a scan asks of its memory's actors, drawn at random row by row: a simulation, without Ray."""

import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from pipelines.memory.actor import PUBLISH_EVERY_S


class Count(IntEnum):
    """What is counted, by turn and actor: offers' calls, images offered, images entered, bounds told; calls for
    publications, images copied for them, published, and fetched; by how many images the news is old."""

    CALLS, OFFERED, ENTERED, TOLD, REFRESHES, COPIED, PUBLISHED, FETCHED, AGE = range(9)


@dataclass(frozen=True)
class Cluster:
    """`batch`: images between two offers of a worker. `latency`: batches until a reply is heard; 1: before the next
    offer. `max_staleness`: as of `oodscan`. `skew`: Zipf's exponent. `confident`: share of images that are for any row.
    `groups` of workers take turns. `actors` share the rows. `call_us`: CPU time of a Ray actor for an empty call."""

    images: int = 10**9
    workers: int = 1000
    batch: int = 1024
    images_per_s: float = 1000.0
    id_labels: int = 1000
    negatives: int = 10_000
    memory_length: int = 10
    dim: int = 512
    max_staleness: int = 8
    skew: float = 1.0
    confident: float = 0.5
    groups: int = 20
    call_us: float = 350.0
    seed: int = 0
    actors: int = 1
    latency: int = 1

    @property
    def rows(self) -> int:
        return self.id_labels + self.negatives

    @property
    def keep(self) -> int:
        """Images that a row keeps; its text has one place."""
        return self.memory_length - 1

    @property
    def turn_images(self) -> int:
        return self.workers // self.groups * self.batch

    @property
    def turn_s(self) -> float:
        """From one group's turn to the next group's."""
        return self.batch / self.images_per_s / self.groups

    def refreshes(self, turn: int) -> bool:
        """Whether the workers whose turn it is ask for publications; those of other groups do at other batches."""
        batches, group = divmod(turn, self.groups)
        return batches == 0 or (batches + group) % (self.max_staleness + 1) == 0

    def popularity(self) -> np.ndarray:
        weights = (1.0 + np.random.default_rng(self.seed).permutation(self.rows)) ** -self.skew
        return weights / weights.sum()

    def predicted(self) -> float:
        """Offers, if every worker always knew every bound: Σ k(1 + ln(N/k))."""
        return float(entering(self.popularity() * self.confident * self.images, self.keep).sum())


def entering(images: np.ndarray, keep: int) -> np.ndarray:
    """Of so many images in random order, how many are among the best `keep` so far; 1/2 is for the harmonic sum."""
    return np.minimum(images, keep) + keep * np.log((np.maximum(images, keep) + 0.5) / (keep + 0.5))


def drawn(rng: np.random.Generator, means: np.ndarray, workers: int, keep: int) -> tuple[np.ndarray, np.ndarray]:
    """By row: images of a group that pass, `means` a worker; and those sent, at most `keep` of each worker."""
    passing = rng.poisson(means * workers)
    sent, crowded = passing.copy(), np.flatnonzero(means > keep / 30)  # below, more than `keep` are next to impossible
    each = rng.poisson(means[crowded, None], (len(crowded), workers))
    passing[crowded], sent[crowded] = each.sum(axis=1), np.minimum(each, keep).sum(axis=1)
    return passing, sent


def lowest(rng: np.random.Generator, counts: np.ndarray, keep: int) -> np.ndarray:
    """The `keep` lowest of so many numbers from [0, 1], in order, without the others; inf where there are fewer."""
    sums = rng.exponential(size=(len(counts), keep)).cumsum(axis=1)
    rest = sums[:, -1] + rng.gamma(np.maximum(counts + 1 - keep, 1))
    total = np.where(counts < keep, sums[np.arange(len(counts)), np.minimum(counts, keep - 1)], rest)
    return np.where(np.arange(keep) < counts[:, None], sums / total[:, None], np.inf)


def merged(rng: np.random.Generator, held: np.ndarray, passing: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Into `held`, in place: by row, how many images enter."""
    rows, entered = np.flatnonzero(passing), np.zeros(len(held))
    keep, counts, old = held.shape[1], passing[rows], held[rows]
    better = rng.binomial(counts, np.minimum(old.max(axis=1), 1.0) / known[rows])
    before = np.minimum(np.isfinite(old).sum(axis=1), keep - 1)
    entered[rows] = entering(before + better, keep) - entering(before, keep)
    both = np.concatenate([old, lowest(rng, counts, keep) * known[rows, None]], axis=1)
    held[rows] = np.partition(both, keep - 1)[:, :keep]
    return entered


@dataclass
class Publisher:
    """An actor's publications, as `MemoryActor` makes them. `chain`: images of the last full one, and of those since.
    `newest`: how many there have been; `sums`: of each row, as published; `seen`: the newest that each group has."""

    rows: np.ndarray
    sums: np.ndarray
    seen: np.ndarray
    chain: list[int] = field(default_factory=list)
    newest: int = 0
    at: float = -math.inf

    def publish(self, held: np.ndarray, now: float) -> tuple[int, int]:
        """If it is time: images copied, images published."""
        if now - self.at < PUBLISH_EVERY_S:
            return 0, 0
        filled = np.isfinite(held[self.rows])
        before, self.sums = self.sums, held[self.rows].sum(axis=1, where=filled)
        images, whole = int(filled[self.sums != before].sum()), int(filled.sum())
        if not images:
            return 0, 0
        full = images + sum(self.chain[1:]) >= whole
        self.chain = [whole] if full else [*self.chain, images]
        self.newest, self.at = self.newest + 1, now
        return (images + whole, whole) if full else (images, images)

    def fetch(self, group: int) -> int:
        """Images that a worker of the group has to fetch."""
        first, known = self.newest - len(self.chain) + 1, int(self.seen[group])
        self.seen[group] = self.newest
        return sum(self.chain[max(known - first + 1, 0) :])


class Simulation:
    """A worker with nothing to offer an actor does not call it, and hears nothing."""

    def __init__(self, of: Cluster) -> None:
        self.of, self.rng = of, np.random.default_rng(of.seed)
        self.workers, self.means = of.workers // of.groups, of.popularity() * of.confident * of.batch
        self.actor_of = np.arange(of.rows) % of.actors
        self.held, self.bounds = np.full((of.rows, of.keep), np.inf), np.ones(of.rows)
        nothing = self.bounds, np.zeros(of.actors)
        self.heard = [deque([nothing] * of.latency, of.latency) for _ in range(of.groups)]
        parts = [np.arange(actor, of.rows, of.actors) for actor in range(of.actors)]
        self.publishers = [Publisher(rows, np.zeros(len(rows)), np.zeros(of.groups)) for rows in parts]

    def run(self, images: float = math.inf) -> np.ndarray:
        """[turns, counts, actors], of the whole scan or of its first images."""
        trace = np.zeros((int(min(images, self.of.images) // self.of.turn_images), len(Count), self.of.actors))
        for turn, counts in enumerate(trace):
            self._offer(turn, counts)
            if self.of.refreshes(turn):
                self._refresh(turn, counts)
        return trace

    def _offer(self, turn: int, counts: np.ndarray) -> None:
        heard = self.heard[turn % self.of.groups]
        known, since = heard[0]
        passing, sent = drawn(self.rng, self.means * known, self.workers, self.of.keep)
        counts[Count.ENTERED] = self._by_actor(merged(self.rng, self.held, passing, known))
        changed, self.bounds = np.flatnonzero(passing), self.bounds.copy()
        self.bounds[changed] = np.minimum(self.held[changed].max(axis=1), 1.0)
        counts[Count.OFFERED] = self._by_actor(sent)
        calls = self.rng.binomial(self.workers, 1 - (1 - 1 / self.workers) ** counts[Count.OFFERED])
        counts[Count.CALLS], counts[Count.TOLD] = calls, calls * self._by_actor(self.bounds != known)
        counts[Count.AGE] = (turn - since) * self.of.turn_images
        hears = self.rng.random(self.of.actors) < calls / self.workers
        last = heard[-1]
        heard.append((np.where(hears[self.actor_of], self.bounds, last[0]), np.where(hears, turn, last[1])))

    def _refresh(self, turn: int, counts: np.ndarray) -> None:
        for actor, publisher in enumerate(self.publishers):
            counts[[Count.COPIED, Count.PUBLISHED], actor] = publisher.publish(self.held, turn * self.of.turn_s)
            counts[Count.FETCHED, actor] = publisher.fetch(turn % self.of.groups) * self.workers
            counts[Count.REFRESHES, actor] = self.workers

    def _by_actor(self, by_row: np.ndarray) -> np.ndarray:
        return np.bincount(self.actor_of, by_row, self.of.actors)


def sent_at(of: Cluster, busy_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`busy_s`: CPU time of each turn by actor. Seconds when each turn's offers are sent, and how long they waited for
    the replies to the group's last ones."""
    free, replied, ready = np.zeros(busy_s.shape[1]), np.zeros(of.groups), of.turn_s * np.arange(1, of.groups + 1)
    sent, waited = np.zeros((2, len(busy_s)))
    for turn, busy in enumerate(busy_s):
        group = turn % of.groups
        sent[turn] = max(ready[group], replied[group])
        waited[turn], ready[group] = sent[turn] - ready[group], sent[turn] + of.turn_s * of.groups
        done = np.maximum(free, sent[turn]) + busy
        free, replied[group] = np.where(busy > 0, done, free), (done * (busy > 0)).max()
    return sent, waited


def phases(of: Cluster) -> dict[int, slice]:
    """The first second, the first minute and each decade of images: until which image, and the turns."""
    pace = of.workers * of.images_per_s
    ends = {pace, 60 * pace, of.images, *(10.0**power for power in range(20))}
    turns = sorted({round(end / of.turn_images) for end in ends if pace <= end <= of.images})
    return {end * of.turn_images: slice(start, end) for start, end in itertools.pairwise([0, *turns])}
