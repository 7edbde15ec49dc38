"""What no scoring can go below: blocks of images multiplied with the labels by processes of one thread."""

import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from typing import Any

from ood_core.numerics import BLOCK


def multiply(shape: tuple[int, int, int], barrier: Barrier, took: Any) -> None:
    """The blocks of one process; all begin together, and `took` gets its seconds."""
    import torch

    torch.set_num_threads(1)
    blocks, dim, labels = shape
    block, columns, products = torch.randn(BLOCK, dim), torch.randn(dim, labels), torch.empty(BLOCK, labels)
    torch.mm(block, columns, out=products)
    barrier.wait()
    start = time.perf_counter()
    for _ in range(blocks):
        torch.mm(block, columns, out=products)
    took.put(time.perf_counter() - start)


def bare_product(images: int, dim: int, labels: int, processes: int) -> float:
    """Images/s of one product with the labels, the slowest process counting."""
    spawn = multiprocessing.get_context("spawn")
    blocks = -(-images // (BLOCK * processes))
    shape = (blocks, dim, labels)
    barrier, took = spawn.Barrier(processes), spawn.Queue()
    started = [spawn.Process(target=multiply, args=(shape, barrier, took)) for _ in range(processes)]
    for process in started:
        process.start()
    slowest = max(took.get() for _ in started)
    for process in started:
        process.join()
    return blocks * BLOCK * processes / slowest
