"""Would the actors that keep AdaNeg's memory keep up with a thousand workers? A simulation, without Ray.

What workers ask is drawn at random (`memory_load`); what that costs an actor is measured (`memory_costs`). `--page`
writes what is found as a page. About three minutes of one core.

OMP_NUM_THREADS=1 python -m infra.benchmarks.memory_scale --page infra/benchmarks/MEMORY_SCALE.md
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import process_time

import numpy as np

from infra.benchmarks.memory_costs import ORDERS, Costs, check, measured, prices
from infra.benchmarks.memory_load import Cluster, Count, Simulation, phases, sent_at
from infra.benchmarks.memory_page import LATENCIES, Row, conclusions, page
from infra.benchmarks.workloads import machine, say

ACTORS = (1, 2, 4)
BEHIND = "behind for a moment, nobody waits"
SIZES = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 4 / 3, 2, 3, 4)
"""Of the workers that are compared."""
CHANGES = ({"skew": 0.0}, {"confident": 1.0}, {"groups": 10})


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
