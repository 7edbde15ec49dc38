"""What a reference of pictures known to belong changes (METHODS.md §10b), on the bundled drawings and model.

The 113 animals belong, with the demo's labels. In each draw some of them, 20, 50 or 100, are the reference, and the
others are scanned with foreign pictures up to a fraction of the scan, one at least, and three beside 13 animals, as
consensus takes 16: of one other subject ("a kind"), or one by one of all others in turn ("strays"). If there are too
few of them, animals are thinned out. Shown is the AUROC of the base in the same draws, and by how much (x 1000, with
two standard errors over the draws, which share pictures) it differs with the reference, with consensus, and with both.

Then larger scans: of eleven subjects, the twelfth being foreign, each in turn; labels are these subjects and a noun of
each ID picture's name. The reference is 100 or 200 of some 580 ID pictures.

Then the harm: scans of animals alone in which a group makes up half and the reference has none of it, or its share.
Shown is how many of the group's pictures fall below the score that 95 % of the same pictures had without a reference.

python -m infra.benchmarks.reference_kinds [--draws 10] [--only gain|subjects|harm]
"""

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from infra.benchmarks.consensus_kinds import BASES, CRITERIA
from infra.benchmarks.mixed_drawings import Drawings, bank_of, candidates, settings
from infra.benchmarks.workloads import SEED, say
from infra.demo_model.shards import ID_SUBJECT
from ood_core.consensus.dataset import Neighbourhood, consensus_of_neighbours, with_reference
from ood_core.labels import LabelBank
from ood_core.methods import MIN_ANCHORS, Consensus, ImageMethod, MaxCos
from ood_core.metrics import auroc

SIZES, FRACTIONS = (20, 50, 100), (0.005, 0.02, 0.1, 0.5)
LARGER_SIZES, LARGER_BASES = (100, 200), ("NegLabel", "max-cos")
WAYS = ("reference", "consensus", "consensus, reference")
ALL_BASES: Mapping[str, tuple[str, str, ImageMethod]] = {**BASES, "max-cos": ("neglabel", "max-cos", MaxCos())}
GROUPS = {
    "birds": "bird dove eagle chicken chick penguin turkey duck parrot dodo hen owl seagull cigno tacchino",
    "insects and the like": "bee coccinella coccinelle damselfly bug honeybee fly farfalla ladybug mantide zanzara "
    "spider ragno scorpion worm virus",
}
"""Words in the names of the pictures of two groups of animals; some are Italian."""


class Draw(NamedTuple):
    """The scanned pictures, which of them belong, and those of the reference."""

    scanned: np.ndarray
    belongs: np.ndarray
    reference: np.ndarray


def draws(drawings: Drawings, size: int, fraction: float, kind: str, seed: int) -> Draw:
    """One draw of a reference of this size and of a scan in which this fraction is foreign."""
    rng = np.random.default_rng([SEED, size, seed])
    animals = rng.permutation(drawings.of([ID_SUBJECT]))
    reference, inside = animals[:size], animals[size:]
    others = sorted({row["subject"] for row in drawings.rows} - {ID_SUBJECT})
    if kind == "a kind":
        foreign = rng.permutation(drawings.of([others[seed % len(others)]]))
    else:
        pools = [rng.permutation(drawings.of([subject])).tolist() for subject in rng.permutation(others)]
        foreign = np.array(
            [pool[place] for place in range(max(map(len, pools))) for pool in pools if place < len(pool)]
        )
    count = max(1, MIN_ANCHORS - len(inside), round(fraction / (1 - fraction) * len(inside)))
    if count > len(foreign):
        inside, count = inside[: round(len(foreign) * (1 - fraction) / fraction)], len(foreign)
    belongs = np.arange(len(inside) + count) < len(inside)
    return Draw(np.concatenate([inside, foreign[:count]]), belongs, reference)


def scores(drawings: Drawings, bank: LabelBank, base: np.ndarray, draw: Draw) -> dict[str, np.ndarray]:
    """The scores in each of `WAYS`. `base`: the log-odds of the scanned pictures."""
    images, keys = drawings.embeddings[draw.scanned], [drawings.keys[place] for place in draw.scanned]
    among = Neighbourhood.of(
        images,
        keys,
        Consensus(),
        labels=bank.embeddings[: bank.id_count],
        reference=drawings.embeddings[draw.reference],
    )
    found = [
        with_reference(among, base)[0],
        *(consensus_of_neighbours(among, base, Consensus(reference=taken)).score for taken in (False, True)),
    ]
    return dict(zip(WAYS, found, strict=True))


class Bases:
    """The log-odds of scanned pictures by each base; those of what learns nothing are computed once."""

    def __init__(self, drawings: Drawings) -> None:
        self.drawings, (ids, _) = drawings, settings(drawings)["animals"][0]
        found = {name: candidates(criterion, drawings.encoder) for name, criterion in CRITERIA.items()}
        self.candidates = found["neglabel"]
        self.banks = {name: bank_of(one, ids, drawings.encoder) for name, one in found.items()}
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, name: str, places: np.ndarray) -> tuple[LabelBank, np.ndarray]:
        criterion, method, parameters = ALL_BASES[name]
        bank = self.banks[criterion]
        if parameters.learning_order:
            return bank, self.drawings.scores(bank, method, parameters, places)
        if name not in self.known:
            everyone = np.arange(len(self.drawings.keys))
            self.known[name] = self.drawings.scores(bank, method, parameters, everyone)
        return bank, self.known[name][places]


def gains(drawings: Drawings, bases: Bases, count: int) -> Iterator[str]:
    yield "| base | foreign | of the scan | reference | AUROC | " + " | ".join(WAYS) + " |"
    yield "|---" * (5 + len(WAYS)) + "|"
    for name in ALL_BASES:
        for kind in ("a kind", "strays"):
            found = defaultdict(list)
            for size in SIZES:
                for fraction in FRACTIONS:
                    for seed in range(count):
                        draw = draws(drawings, size, fraction, kind, seed)
                        bank, base = bases(name, draw.scanned)
                        before = area(base, draw)
                        after = scores(drawings, bank, base, draw).values()
                        found[fraction, size].append([before, *(1000 * (area(one, draw) - before) for one in after)])
            for fraction, size in sorted(found):
                yield row(f"{name} | {kind} | {fraction:.1%} | {size}", np.array(found[fraction, size]))
        say(name)


def larger(drawings: Drawings, bases: Bases, count: int) -> Iterator[str]:
    yield "| base | of the scan | reference | AUROC | " + " | ".join(WAYS) + " |"
    yield "|---" * (4 + len(WAYS)) + "|"
    found = defaultdict(list)
    for ids, ((everyone, foreign),) in settings(drawings)["subjects"]:
        if len(foreign) > 1:
            continue
        bank = bank_of(bases.candidates, ids, drawings.encoder)
        for name in LARGER_BASES:
            _, method, parameters = ALL_BASES[name]
            known = drawings.scores(bank, method, parameters, np.arange(len(drawings.keys)))
            for size, fraction, seed in itertools.product(LARGER_SIZES, FRACTIONS, range(count)):
                rng = np.random.default_rng([SEED, size, seed])
                ours, theirs = rng.permutation(drawings.of(everyone)), rng.permutation(drawings.of(foreign))
                inside = ours[size:]
                wanted = max(1, round(fraction / (1 - fraction) * len(inside)))
                if wanted > len(theirs):
                    inside = inside[: round(len(theirs) * (1 - fraction) / fraction)]
                scanned = np.concatenate([inside, theirs[:wanted]])
                draw = Draw(scanned, np.arange(len(scanned)) < len(inside), ours[:size])
                before, base = area(known[scanned], draw), known[scanned]
                after = scores(drawings, bank, base, draw).values()
                found[name, fraction, size].append([before, *(1000 * (area(one, draw) - before) for one in after)])
        say(f"{foreign[0]} foreign")
    for (name, fraction, size), of in sorted(found.items()):
        yield row(f"{name} | {fraction:.1%} | {size}", np.array(of))


def area(values: np.ndarray, draw: Draw) -> float:
    return auroc(values[draw.belongs], values[~draw.belongs])


def row(heading: str, found: np.ndarray) -> str:
    """The mean AUROC of the base, and what each way adds."""
    mean, error = found.mean(axis=0), 2 * found.std(axis=0) / len(found) ** 0.5
    added = " | ".join(f"{mean[place]:+.0f} ± {error[place]:.0f}" for place in range(1, found.shape[1]))
    return f"| {heading} | {mean[0]:.3f} | {added} |"


def harms(drawings: Drawings, bases: Bases, count: int) -> Iterator[str]:
    animals = drawings.of([ID_SUBJECT])
    words = [set(drawings.rows[place]["name"].split()) for place in animals]
    yield "| base | half of the scan | in the reference | " + " | ".join(WAYS) + " |"
    yield "|---" * (3 + len(WAYS)) + "|"
    for name in ALL_BASES:
        for group, named in GROUPS.items():
            is_of = np.array([bool(set(named.split()) & its) for its in words])
            for share, of_reference in (("none", 0.0), ("its share", 0.5)):
                below = []
                for seed in range(count):
                    rng = np.random.default_rng([SEED, seed])
                    of, others = rng.permutation(animals[is_of]), rng.permutation(animals[~is_of])
                    kept = len(of) // 2 if of_reference else 0
                    mine, theirs = of[kept:], others[: len(of) - kept]
                    reference = np.concatenate([of[:kept], others[len(mine) : len(mine) + 50]])
                    draw = Draw(np.concatenate([mine, theirs]), np.arange(2 * len(mine)) < len(mine), reference)
                    bank, base = bases(name, draw.scanned)
                    below.append(share_below(scores(drawings, bank, base, draw), base, draw))
                mean = np.mean(below, axis=0)
                yield f"| {name} | {group} | {share} | " + " | ".join(f"{value:.0%}" for value in mean) + " |"


def share_below(found: Mapping[str, np.ndarray], base: np.ndarray, draw: Draw) -> list[float]:
    """The share of the group below what 95 % of all scanned pictures had without a reference, in each way."""
    standard = (base - base.mean()) / base.std()
    without = {"reference": standard, "consensus": found["consensus"], "consensus, reference": found["consensus"]}
    return [float(np.mean(found[way][draw.belongs] < np.quantile(without[way], 0.05))) for way in WAYS]


def main() -> None:
    options_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options_of.add_argument("--draws", type=int, default=10, help="draws of each size and fraction")
    options_of.add_argument("--only", choices=("gain", "subjects", "harm"))
    options = options_of.parse_args()
    drawings = Drawings.read()
    bases = Bases(drawings)
    for name, table in (("gain", gains), ("subjects", larger), ("harm", harms)):
        if options.only in (None, name):
            print(f"{name}\n")
            for line in table(drawings, bases, options.draws):
                print(line, flush=True)
            print()


if __name__ == "__main__":
    main()
