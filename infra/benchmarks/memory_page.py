"""The page that the memory's simulation writes: its prose, its conclusions, its tables."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from infra.benchmarks.memory_costs import ORDERS, Costs
from infra.benchmarks.memory_load import Cluster
from pipelines.memory.actor import PUBLISH_EVERY_S

COMMAND = "OMP_NUM_THREADS=1 python -m infra.benchmarks.memory_scale"
LATENCIES = (1, 4)
SHARES = ("Ray's own, %", "calls, %", "images, %", "bounds, %", "publications, %")

PROSE = f"""
## What is simulated
Workers offer an actor the images that could enter its rows and hear in reply which bounds have changed; in streaming
order they also fetch what it publishes. Drawn are, of each worker's batch, how many images belong to each row, how many
of them beat the bound that the worker has heard of, and are among the best that a row can hold. Priorities are uniform
on [0, 1]: only their order matters. *latency*: batches until a reply is heard; 1, before the next offer, is what
`pipelines/memory_client.py` does. Who has nothing to offer an actor makes no call, and hears nothing. The code's other
rules are kept: embeddings only in streaming order, a refresh every `max_staleness` + 1 batches, at most one publication
an actor in {PUBLISH_EVERY_S:g} s, a full one in place of a chain that would be longer.

**Costs** are CPU time of the real classes with cloudpickle's messages, the least of many calls, as other work runs
beside them. `call_us` is what Ray takes of an actor's process for an empty call: measured apart, hence a parameter.

## How to read it
Rates are those at the workers' full pace. *busy*: CPU time of the busiest actor in % of a core, over a phase or over
the time that one batch of all workers takes. Above 100 an actor is *behind*; workers *wait* once it is so by more than
a batch's time, as nothing piles up beyond that: they slow down to its pace. *delay* is what that adds to the scan,
*last wait* when it ends. *behind from*: workers at which the busiest batch comes to 100 %, between the two nearest
sizes tried; *waiting from*: the size tried from which on there are some that wait; both until the rows are full. Every
worker calls every actor: more actors share images and bounds, and not the calls. Offers are compared with what would
enter if every worker always knew every bound: Σ k(1 + ln(N/k)) over the rows, N images each. *Drawn against done*: a
small scan by real gates and actors, which must keep exactly the best of all images, or the command fails.

## Limits
- Batches arrive evenly, all workers are equally fast, the network is instant and wide enough. A group's calls are
  served as one. While workers wait, publications are still counted at full pace. That a refresh waits for its
  answers, however short, is no delay here.
- Commits come at no time in particular: their CPU time stands apart from what is called busy. One driver writes all
  shards; whether it keeps up is not asked. Snapshots of storage, Ray's metrics, garbage collection and lost workers
  are left out.
- A batch is that of `oodscan scan`. `oodscan rescore` offers a whole shard at once, or the method's batches in
  streaming order: `--batch`.
- Messages above 100 kB go through Ray's object store: its work is not counted.
- Images come in random order. If ever better ones came, all of them would enter.
"""
Row = dict[str, Any]


def conclusions(of: Cluster, tables: Mapping[str, list[Row]], cost: Costs) -> list[str]:
    """What the tables say."""
    most, whole, peaks, _, traffic, totals, compared, _ = tables.values()
    said = [verdict(order, most, whole, peaks) for order in ORDERS]
    offers, late = totals[:2]
    said.append(
        f"Of {text(of.images)} images {text(offers['offers'])} are offered, {offers['offers : Σ']:.2f} times Σ k(1 + "
        f"ln(N/k)) with k = {of.keep}; {text(offers['entering'])} enter. In the first second, when workers know few "
        f"bounds, {text(offers['in the first second'])} are offered. With {late['']}: {late['offers : Σ']:.2f} times."
    )
    worker, everyone = "fetched by a worker, MB/s", "fetched by all, MB/s"
    most_fetched, images = max(traffic, key=lambda row: row[worker]), of.rows * of.keep
    taken_ms = images * cost["worker: image fetched and viewed, µs"] / 1e3
    megabytes = images * cost["image published, bytes"] / 1e6
    said.append(
        f"Streaming, a worker fetches up to {text(most_fetched[worker])} MB/s, {text(traffic[-1][worker])} MB/s in the "
        f"last phase; all of them {text(most_fetched[everyone] / 1e3)} and {text(traffic[-1][everyone] / 1e3)} GB/s, "
        f"less where workers of a node share it. The whole memory is {text(megabytes)} MB; a worker needs "
        f"{text(taken_ms)} ms of CPU to take it."
    )
    said.append(f"Commits take one actor {text(whole[0]['and for commits'])} s of CPU in the whole scan.")
    pairs = [(row[name], other[name]) for row, other in zip(compared[::2], compared[1::2], strict=True) for name in row]
    apart = max(abs(drawn / done - 1) for drawn, done in pairs if not isinstance(drawn, str))
    return [*said, f"Between the small scan drawn and the same done the largest difference is {100 * apart:.1f} %."]


def verdict(order: str, most: list[Row], whole: list[Row], peaks: list[Row]) -> str:
    """Whether one actor is enough in an order, from how many workers on it is not, and what its time goes to."""
    mine = [row for row in whole if row[""] == order and row["latency"] == LATENCIES[0]]
    peak = next(row for row in peaks if row[""] == order)
    shares = {name.removesuffix(", %"): share for name, share in peak.items() if name in SHARES}
    largest = [f"{name} {shares[name]:.0f} %" for name in sorted(shares, key=lambda name: -shares[name])[:3]]
    outcomes = [f"{row['actors']}: {row['busiest batch, %']:.0f} %, {row['outcome']}" for row in mine]
    delays = [f"{text(row['delay, s'])} s with {row['actors']}" for row in mine]
    limits = [
        f"{row['actors']}: {row['behind from, workers']} and {row['waiting from, workers']}"
        for row in most
        if row[""] == order
    ]
    return (
        f"**{order.capitalize()} order, one actor: {mine[0]['outcome']}.** Busiest batch, by number of actors: "
        f"{'; '.join(outcomes)}. One actor's time in it goes to {', '.join(largest)}. So many workers get "
        f"actors behind, and have to wait themselves: {'; '.join(limits)}. The scan is delayed by {', '.join(delays)}."
    )


def text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown(rows: list[Row]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([text(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(of: Cluster, on: Row, said: list[str], tables: Mapping[str, list[Row]]) -> str:
    """All of it."""
    given = "; ".join(f"{name} {text(value)}" for name, value in [*asdict(of).items(), *on.items()])
    command = f"```\n{COMMAND} {shlex.join(sys.argv[1:])}\n```"
    lines = "\n".join(f"- {line}" for line in said)
    shown = [f"## {title}\n{markdown(rows)}" for title, rows in tables.items()]
    parts = ["# Would the memory's actors keep up?", command, given, f"## Conclusions\n{lines}", PROSE.strip(), *shown]
    return "\n\n".join(parts) + "\n"
