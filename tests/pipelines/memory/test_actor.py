"""The memory of a scan without Ray: whatever is lost, repeated or restarted, it ends as one bank offered everything."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ood_core.memory import Candidates, MemoryBank
from pipelines.memory.actor import PUBLISH_EVERY_S, Cursor, Journal, MemoryActor, MemorySpec
from pipelines.memory.client import CommitToMemory, MemoryClient
from tests.pipelines.memory.local_actors import LocalActors, candidates, content, files, store, together

CAPACITIES = np.array([2, 1, 3, 2])
image = st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from("abcdefgh"))
batch = st.lists(image, max_size=5)
shards = st.lists(st.lists(batch, min_size=1, max_size=3), min_size=1, max_size=4)
KINDS = ("offer", "offer", "offer", "commit", "restart", "begin again", "compact")
step = st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 1))


def spec(parts: int = 1, streaming: bool = False) -> MemorySpec:
    return MemorySpec("memory", files(), {"adaneg": CAPACITIES}, parts, frozenset({"adaneg"} if streaming else ()))


def of_all(parts: Sequence[Candidates]) -> list:
    bank = MemoryBank(CAPACITIES, 1)
    for part in parts:
        bank.offer(part)
    return content(bank.snapshot())


class Scan:
    """Shards that workers go over batch by batch, a driver that commits them, and actors that may die."""

    def __init__(self, given: list, parts: int, streaming: bool, twice: bool) -> None:
        self.spec = spec(parts, streaming)
        self.actors = LocalActors(self.spec, twice)
        self.driver = MemoryClient(self.spec, self.actors)
        self.workers = [MemoryClient(self.spec, self.actors) for _ in range(2)]
        self.given = [[candidates(batch) for batch in shard] for shard in given]
        self.passed: list[list[Candidates]] = [[] for _ in given]
        self.committed: set[str] = set()

    def do(self, kind: str, number: int, other: int) -> None:
        shard = number % len(self.given)
        if kind == "restart":
            self.actors.restart(number % self.spec.parts)
        elif kind == "begin again":  # a worker has died, or the driver: what was read of the shard is read anew
            self.passed[shard] = []
            self.workers[other] = MemoryClient(self.spec, self.actors)
        elif kind == "compact":
            self.spec.files.put_snapshot(self.driver.remembered(), self.committed)
        elif kind == "commit":
            self.finish(shard, other)
        elif len(self.passed[shard]) < len(self.given[shard]):
            self.offer(shard, other)

    def offer(self, shard: int, worker: int) -> None:
        found = self.given[shard][len(self.passed[shard])]
        self.passed[shard].append(self.workers[worker].offer({"adaneg": found})["adaneg"])

    def finish(self, shard: int, worker: int) -> None:
        while len(self.passed[shard]) < len(self.given[shard]):
            self.offer(shard, worker)
        table = store(self.spec.files, str(shard), "adaneg", together(self.passed[shard]))
        CommitToMemory(self.spec, self.actors)(str(shard), table)
        self.committed.add(str(shard))


@settings(max_examples=200)
@given(shards, st.lists(step, max_size=24), st.integers(1, 3), st.booleans(), st.booleans())
def test_no_interleaving_of_offers_retries_restarts_and_commits_changes_the_memory(
    given: list, steps: list, parts: int, streaming: bool, twice: bool
) -> None:
    scan = Scan(given, parts, streaming, twice)
    for kind, number, other in steps:
        scan.do(kind, number, other)
    for shard in range(len(given)):
        scan.finish(shard, 0)
    everything = of_all([batch for shard in scan.given for batch in shard])
    assert content(scan.driver.remembered()["adaneg"]) == everything
    rebuilt = scan.spec.banks()
    assert scan.spec.files.rebuilt(rebuilt) == {str(shard) for shard in range(len(given))}
    assert content(rebuilt["adaneg"].snapshot()) == everything


@given(st.lists(batch, max_size=8), st.integers(1, 3), st.lists(st.integers(0, 7), max_size=3))
def test_a_view_holds_what_all_have_offered_though_actors_die(given: list, parts: int, restarts: list[int]) -> None:
    actors = LocalActors(spec(parts, streaming=True))
    one, other = MemoryClient(actors.spec, actors), MemoryClient(actors.spec, actors)
    for number, found in enumerate(given):
        actors.now += 1
        one.offer({"adaneg": candidates(found)})
        other.refresh()
        actors.spec.files.put_snapshot({"adaneg": of_live(actors)}, {str(number)})
        if number in restarts:
            actors.restart(number % parts)
    actors.now += 1
    other.refresh()
    seen = other.view("adaneg")
    expected = of_all([candidates(found) for found in given])
    assert sorted(zip(seen.rows.tolist(), seen.embeddings[:, 0].tolist(), strict=True)) == sorted(
        (row, embedding) for row, _, _, embedding in expected
    )


def test_a_publication_that_has_died_with_its_actor_is_asked_for_again() -> None:
    actors = LocalActors(spec(streaming=True))
    memory = MemoryClient(actors.spec, actors)
    memory.offer({"adaneg": candidates([(0, 0.5, "a")])})
    actors.lost = 2
    assert memory.refresh()
    assert memory.view("adaneg").rows.tolist() == [0]
    actors.now, actors.lost = 9.0, 99
    memory.offer({"adaneg": candidates([(1, 0.5, "b")])})
    with pytest.raises(RuntimeError, match="the memory's actor 0 has died 5 times while it was asked"):
        memory.refresh()


def of_live(actors: LocalActors) -> Candidates:
    """All that the actors hold now, as if it were committed."""
    bank = MemoryBank(CAPACITIES, 1)
    for actor in actors.actors:
        bank.merge(actor.live["adaneg"])
    return bank.snapshot()


def test_a_worker_sends_only_what_could_enter_and_no_embeddings_that_nobody_needs() -> None:
    actors = LocalActors(spec())
    memory = MemoryClient(actors.spec, actors)
    memory.offer({"adaneg": candidates([(1, 0.5, "a")])})
    passing = memory.offer({"adaneg": candidates([(1, 0.25, "b"), (1, 0.75, "c")])})["adaneg"]
    assert passing.keys == ["b"]
    counted = actors.actors[0].counted()["methods"]["adaneg"]
    assert {name: counted[name] for name in ("calls", "offered", "entered")} == {"calls": 2, "offered": 2, "entered": 2}
    assert actors.actors[0].live["adaneg"].snapshot().embeddings.shape == (1, 0)
    assert memory.offer({"adaneg": candidates([(1, 0.9, "d")])})["adaneg"].keys == []
    assert actors.actors[0].counted()["methods"]["adaneg"]["calls"] == 2


def test_nothing_is_published_twice_within_the_interval_nor_where_nothing_has_changed() -> None:
    actor = MemoryActor(spec(streaming=True), put=lambda content: content, clock=lambda: now)
    now = 0.0
    actor.offer({"adaneg": candidates([(row, 0.5, "a") for row in range(4)])}, Cursor())
    seen, first = actor.published(Cursor())
    actor.offer({"adaneg": candidates([(0, 0.25, "b")])}, Cursor())
    assert actor.published(seen) == (seen, [])
    now = PUBLISH_EVERY_S
    later, second = actor.published(seen)
    assert [one.full for one in (*first, *second)] == [True, False]
    assert later.version == 2
    now *= 9
    assert actor.published(later) == (later, [])


def test_who_has_seen_little_is_given_one_full_version_and_what_has_changed_since() -> None:
    actor = MemoryActor(spec(streaming=True), put=lambda content: content, clock=lambda: now)
    now, seen = 0.0, Cursor()
    actor.offer({"adaneg": candidates([(row, 0.5, "a") for row in range(4)])}, Cursor())
    for number in range(6):
        now += 1
        actor.offer({"adaneg": candidates([(1, 0.5 - number / 100, f"{number}")])}, Cursor())
        seen, _ = actor.published(seen)
    assert [(one.full, one.images) for one in actor.publications] == [(True, 4), (False, 1)]
    full, changed = actor.publications
    assert actor.published(Cursor(seen.incarnation, full.version)) == (seen, [changed])
    assert actor.published(Cursor(seen.incarnation, 1)) == (seen, [full, changed])
    assert actor.published(Cursor("another life", 99)) == (seen, [full, changed])


def test_a_journal_knows_which_rows_have_changed_since() -> None:
    journal = Journal({"adaneg": CAPACITIES})
    journal.add({"adaneg": [3, 3]})
    journal.add({"adaneg": [0]})
    assert journal.version == 2
    assert [journal.since(version)["adaneg"].tolist() for version in range(3)] == [[0, 3], [0], []]


def test_what_is_forgotten_is_in_no_snapshot_and_no_file() -> None:
    where = files()
    for shard in ("0", "1"):
        store(where, shard, "adaneg", candidates([(int(shard), 0.5, "a")]))
    where.put_snapshot({"adaneg": candidates([(0, 0.5, "a"), (1, 0.5, "a")])}, ["0", "1"])
    where.forget(["2"])
    assert where.snapshot() is not None
    where.forget(["1", "2"])
    assert where.snapshot() is None
    banks = spec().banks()
    assert where.rebuilt(banks) == {"0"}
    assert banks["adaneg"].snapshot().rows.tolist() == [0]


@pytest.mark.parametrize("parts", [1, 3])
def test_a_new_actor_knows_what_is_stored_and_only_its_own_rows(parts: int) -> None:
    where = files()
    given = [(row, 0.5, key) for row, key in enumerate("abcd")]
    store(where, "0", "adaneg", candidates(given[:2]))
    where.put_snapshot({"adaneg": candidates(given[:2])}, ["0"])
    store(where, "1", "adaneg", candidates(given[2:]))
    known = MemorySpec("memory", where, {"adaneg": CAPACITIES}, parts)
    held = [MemoryActor(known, part).remembered()["adaneg"].rows.tolist() for part in range(parts)]
    assert held == ([[0, 1, 2, 3]] if parts == 1 else [[0, 3], [1], [2]])
