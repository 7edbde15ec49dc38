"""The pool of label workers on Ray."""

from collections.abc import Iterator

import numpy as np
import pytest
import ray

from ood_core.criteria import NegMining
from pipelines.config.pools import EncodePool
from pipelines.label_banks.corpus import Block
from pipelines.label_banks.worker_pool import LabelWorkerPool, label_worker_pool
from pipelines.runtime.cluster import Cluster, nodes
from pipelines.runtime.model import ModelSpec

BLOCKS = [Block("noun", 4 * number, [f"word {number} {index}" for index in range(4)]) for number in range(12)]


@pytest.fixture(scope="module")
def workers(ray_session: None) -> Iterator[LabelWorkerPool]:
    found = Cluster(nodes())
    with label_worker_pool(ModelSpec("bundled"), EncodePool(workers=1), found, NegMining(), ["cat"], most=5) as started:
        yield started


def embeddings(workers: LabelWorkerPool, calls: Iterator[tuple[Block]]) -> np.ndarray:
    found = dict(sorted((block.first, rows) for block, rows in workers.spread("embeddings", calls)))
    return np.concatenate(list(found.values()))


def test_calls_are_drawn_no_faster_than_they_are_done(workers: LabelWorkerPool) -> None:
    drawn, done = 0, 0

    def calls() -> Iterator[tuple[Block]]:
        nonlocal drawn
        for block in BLOCKS:
            drawn += 1
            assert drawn - done <= 2  # one is being worked on, one waits for it
            yield (block,)

    for _ in workers.spread("embeddings", calls()):
        done += 1
    assert done == len(BLOCKS)


def test_a_worker_that_dies_is_started_again_and_asked_again(workers: LabelWorkerPool) -> None:
    expected = embeddings(workers, ((block,) for block in BLOCKS))

    def calls() -> Iterator[tuple[Block]]:
        for number, block in enumerate(BLOCKS):
            if number == 3:
                ray.kill(workers.actors[0], no_restart=False)
            yield (block,)

    np.testing.assert_array_equal(embeddings(workers, calls()), expected)


def test_workers_agree_on_the_model(workers: LabelWorkerPool) -> None:
    assert workers.facts.dim == 128
    assert workers.ask("ids").shape == (1, 128)
