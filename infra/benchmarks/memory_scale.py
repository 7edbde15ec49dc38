"""Would the actors that keep AdaNeg's memory keep up with a thousand workers? A simulation, without Ray.

What workers ask is drawn at random (`memory_load`); what that costs an actor is measured (`memory_costs`). `--page`
writes what is found as a page. About three minutes of one core.

OMP_NUM_THREADS=1 python -m infra.benchmarks.memory_scale --page infra/benchmarks/MEMORY_SCALE.md
"""

import argparse
import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from infra.benchmarks.memory_costs import ORDERS, Costs, check, measured, prices
from infra.benchmarks.memory_load import Cluster, Count, Simulation, phases, sent_at
from infra.benchmarks.workloads import machine, say
from pipelines.memory_actor import PUBLISH_EVERY_S

ACTORS, LATENCIES, COMMAND = (1, 2, 4), (1, 4), "OMP_NUM_THREADS=1 python -m infra.benchmarks.memory_scale"
BEHIND = "behind for a moment, nobody waits"
SHARES = ("Ray's own, %", "calls, %", "images, %", "bounds, %", "publications, %")
SIZES = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 4 / 3, 2, 3, 4)
"""Of the workers that are compared."""
CHANGES = ({"skew": 0.0}, {"confident": 1.0}, {"groups": 10})
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


def busy_s(trace: np.ndarray, price: Mapping[Count, float]) -> np.ndarray:
    """CPU time of each turn, by actor."""
    return np.einsum("tqs,q->ts", trace, [price.get(count, 0.0) / 1e6 for count in Count])


@dataclass(frozen=True)
class Load:
    """A simulated scan, or its beginning, in one order."""

    of: Cluster
    trace: np.ndarray
    cost: Costs
    order: str

    @property
    def name(self) -> str:
        return f"{self.order}, {self.of.actors}"

    @property
    def purposes(self) -> dict[str, np.ndarray]:
        """CPU time of each turn and actor, by what it is for."""
        return {name: busy_s(self.trace, price) for name, price in prices(self.cost, self.order).items()}

    @property
    def busy(self) -> np.ndarray:
        return np.sum(list(self.purposes.values()), axis=0)

    @property
    def rounds(self) -> np.ndarray:
        """How busy each actor is while every worker has one batch, in percent of a core."""
        return 100 * self._by_round(self.busy) / (self.of.turn_s * self.of.groups)

    def peak(self) -> Row:
        """The busiest round of an actor."""
        turn, actor = np.unravel_index(self.rounds.argmax(), self.rounds.shape)
        spent = {name: self._by_round(values)[turn, actor] for name, values in self.purposes.items()}
        shares = {name: 100 * value / sum(spent.values()) for name, value in spent.items()}
        at = (int(turn) + 1) * self.of.groups * self.of.turn_images
        row = {"": self.order, "to image": at, "busy, %": self.rounds.max(), "publications, %": 0.0}
        return row | {f"{name}, %": share for name, share in shares.items()}

    def whole(self) -> Row:
        sent, waited = sent_at(self.of, self.busy)
        late, offered = np.flatnonzero(waited > 0), self.trace[:, Count.OFFERED].sum(axis=0)
        own, other = (self.cost[f"image committed, of {whose} rows, µs"] / 1e6 for whose in ("its own", "another's"))
        return {
            "": self.order,
            "latency": self.of.latency,
            "actors": self.of.actors,
            "busiest batch, %": self.rounds.max(),
            "outcome": "too few, workers wait" if waited.any() else BEHIND if self.rounds.max() > 100 else "enough",
            "s of CPU": self.busy.sum(axis=0).max(),
            "and for commits": (own * offered + other * (offered.sum() - offered)).max(),
            "delay, s": waited.sum() / self.of.groups,
            "last wait, after s": sent[late[-1]] if len(late) else 0.0,
        }

    def _by_round(self, by_turn: np.ndarray) -> np.ndarray:
        count = len(by_turn) // self.of.groups
        return by_turn[: count * self.of.groups].reshape(count, self.of.groups, -1).sum(axis=1)


def passing(plain: Load, streaming: Load) -> list[Row]:
    """What passes the gates of all workers, by phase."""
    rows = []
    for end, turns in phases(plain.of).items():
        seconds, sums = (turns.stop - turns.start) * plain.of.turn_s, plain.trace[turns].sum(axis=(0, 2))
        named = {"offers/s": Count.OFFERED, "entering/s": Count.ENTERED, "calls/s": Count.CALLS}
        row = {"to image": end, "s": seconds} | {name: sums[count] / seconds for name, count in named.items()}
        row["bounds told a call"] = sums[Count.TOLD] / max(sums[Count.CALLS], 1)
        row["news is old by, images"] = plain.trace[turns, Count.AGE].mean()
        for load in (plain, streaming):
            row[f"offered {load.order}, MB/s"] = load.cost[f"{load.order}: image, bytes"] * sums[Count.OFFERED]
        row["told, MB/s"] = plain.cost[f"{plain.order}: bound told, bytes"] * sums[Count.TOLD]
        for name, count in (("published", Count.PUBLISHED), ("fetched by all", Count.FETCHED)):
            row[f"{name}, MB/s"] = plain.cost["image published, bytes"] * sums[count]
        row["fetched by a worker, MB/s"] = row["fetched by all, MB/s"] / plain.of.workers
        rows.append({name: value / seconds / 1e6 if "MB" in name else value for name, value in row.items()})
    return rows


def busy(loads: Sequence[Load]) -> list[Row]:
    """How busy the busiest actor is, by phase, order and number of actors."""
    rows = []
    for end, turns in phases(loads[0].of).items():
        seconds = (turns.stop - turns.start) * loads[0].of.turn_s
        shares = {load.name: 100 * load.busy[turns].sum(axis=0).max() / seconds for load in loads}
        rows.append({"to image": end, "s": seconds} | shares)
    return rows


def served(of: Cluster, cost: Costs) -> list[Row]:
    """How busy actors are at most, by the number of workers, until the rows are full; and how many they can serve."""
    sizes = sorted({max(1, int(of.workers * size / of.groups)) * of.groups for size in SIZES})
    rows = []
    for actors in ACTORS:
        scans = [replace(of, workers=workers, actors=actors) for workers in sizes]
        until = [max(200 * of.rows * of.keep, 20 * of.groups * scan.turn_images) for scan in scans]
        traces = [Simulation(scan).run(images) for scan, images in zip(scans, until, strict=True)]
        for order in ORDERS:
            loads = [Load(*pair, cost, order) for pair in zip(scans, traces, strict=True)]
            peaks = [float(load.rounds.max()) for load in loads]
            calm = [
                workers for workers, load in zip(sizes, loads, strict=True) if not sent_at(load.of, load.busy)[1].any()
            ]
            late = [workers for workers in sizes if workers > max(calm, default=0)]
            row = {"": order, "actors": actors, "behind from, workers": crossing(sizes, peaks)}
            row["waiting from, workers"] = f"{late[0]}" if late else f"over {sizes[-1]}"
            rows.append(row | {f"{workers}: %": peak for workers, peak in zip(sizes, peaks, strict=True)})
    return sorted(rows, key=lambda row: ORDERS.index(row[""]))


def crossing(sizes: Sequence[int], peaks: Sequence[float]) -> str:
    """Where the peaks reach 100 %, between two sizes on logarithmic scales; to two digits."""
    over = next((index for index, peak in enumerate(peaks) if peak > 100), len(peaks))
    if over in (0, len(peaks)):
        return f"under {sizes[0]}" if over == 0 else f"over {sizes[-1]}"
    between = np.interp(math.log(100), np.log(peaks[over - 1 : over + 1]), np.log(sizes[over - 1 : over + 1]))
    return f"{float(f'{math.exp(between):.2g}'):.0f}"


def totals(loads: Sequence[Load]) -> list[Row]:
    """Offers against Σ k(1 + ln(N/k)), as given and with one thing changed."""
    named = [(f"latency {load.of.latency}", load.of, load.trace) for load in loads]
    for change in CHANGES:
        of = replace(loads[0].of, **change)
        named.append((" ".join(f"{name} {value:g}" for name, value in change.items()), of, Simulation(of).run()))
    rows = []
    for name, of, trace in named:
        offers, entered = (float(trace[:, count].sum()) for count in (Count.OFFERED, Count.ENTERED))
        first = float(trace[next(iter(phases(of).values())), Count.OFFERED].sum())
        row = {"": name, "offers": offers, "in the first second": first, "entering": entered}
        rows.append(row | {"Σ k(1 + ln(N/k))": of.predicted(), "offers : Σ": offers / of.predicted()})
    return rows


def found(of: Cluster) -> tuple[dict[str, list[Row]], list[str]]:
    """All tables, and what follows. Costs are measured before and after, and the least is taken."""
    before, compared = measured(of), check()
    scans = [replace(of, actors=actors, latency=latency) for latency in LATENCIES for actors in ACTORS]
    traces = [(scan, Simulation(scan).run()) for scan in scans]
    cost = {name: min(value, before[name]) for name, value in measured(of).items()}
    loads = [Load(*pair, cost, order) for order in ORDERS for pair in traces]
    ones, firsts = ([load for load in loads if getattr(load.of, name) == 1] for name in ("actors", "latency"))
    one = {load.order: load for load in ones if load.of.latency == 1}
    tables = {
        "How many workers can be served": served(of, cost),
        "The whole scan": [load.whole() for load in loads],
        "The busiest batch of one actor": [load.peak() for load in one.values()],
        "How busy, %": busy(firsts),
        "What passes the gates": passing(*one.values()),
        "Offers in all": totals([load for load in ones if load.order == ORDERS[0]]),
        "Drawn against done": compared,
        "Costs": [{"": name, "µs or bytes": value} for name, value in cost.items()],
    }
    return tables, conclusions(of, tables, cost)


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


def main() -> None:
    options_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = [field for field in fields(Cluster) if field.name not in ("actors", "latency")]
    for field in given:
        options_of.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    options_of.add_argument("--check", action="store_true", help="only draw and do the small scan")
    options_of.add_argument("--page", type=Path, help="a page to write")
    options = options_of.parse_args()
    of, on, begun = Cluster(**{field.name: getattr(options, field.name) for field in given}), machine(), process_time()
    tables, said = ({"Drawn against done": check()}, []) if options.check else found(of)
    print(json.dumps({"machine": on, "cluster": asdict(of), "conclusions": said, "tables": tables}, indent=2))
    say(f"{process_time() - begun:.0f} s of CPU")
    if options.page and said:
        options.page.write_text(page(of, on, said, tables), encoding="utf-8")


if __name__ == "__main__":
    main()
