"""What verdicts on a few pictures change, answered by the truth (METHODS.md §10d), on the bundled drawings and model.

Of each scan, 50 pictures are chosen to be asked about; the answers on the first 10, 20 and 50 are taken in, of which
100, 90 or 80 % are right, at random. Shown is consensus' AUROC and FPR95 without verdicts, and by how much (x 1000,
with two standard errors over the draws, which share pictures) they differ with them: on the pictures that were not
asked about, where those that belong and foreign ones are left; "–": in fewer than four draws. Scans of fewer than 90
pictures are left out.

`animals`: the scans of `reference_kinds` with 20 pictures as the reference, by every base. `larger`: scans by NegLabel
and max-cos of eleven subjects with the twelfth foreign ("a kind"), of six with pictures of the other six ("strays"),
and of eleven of which one makes half of what belongs; 100 pictures are the reference, where one makes half 50. Those
are never scanned. `--json` keeps all of it, and what is measured on all pictures, those asked about among them.

python -m infra.benchmarks.verdict_kinds [--draws 10] [--only animals|larger] [--json FILE]
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from infra.benchmarks.mixed_drawings import Drawings, bank_of, settings
from infra.benchmarks.reference_kinds import ALL_BASES, FRACTIONS, LARGER_BASES, Bases, Draw, draws
from infra.benchmarks.workloads import SEED, say
from infra.demo_model.shards import ID_SUBJECT
from ood_core.consensus.dataset import Neighbourhood, consensus_of_neighbours, questions
from ood_core.labels import LabelBank
from ood_core.methods import Consensus
from ood_core.metrics import auroc, fpr_at_recall

COUNTS, RIGHT, LEAST, FEWEST = (10, 20, 50), (1.0, 0.9, 0.8), 90, 4
SHOWN = ((10, 1.0), (20, 1.0), (50, 1.0), (50, 0.9), (50, 0.8))
"""How many verdicts, and how many of them are right, in the table."""
LARGE = ("computer", ID_SUBJECT, "signs")
"""Subjects of which there are enough pictures to make half of a scan."""
Way = tuple[bool, int, float]
"""Whether the reference is taken in; how many verdicts, and how many of them are right."""


class Cell(NamedTuple):
    """Of which draws a mean is taken."""

    base: str
    kind: str
    fraction: float


class Scan(NamedTuple):
    """A draw of some pictures, and the base's log-odds of those that are scanned."""

    drawings: Drawings
    draw: Draw
    bank: LabelBank
    log_odds: np.ndarray


def animals(drawings: Drawings, bases: Bases, count: int) -> Iterator[tuple[Cell, Scan]]:
    for name in ALL_BASES:
        for kind in ("a kind", "strays"):
            for fraction in FRACTIONS:
                for seed in range(count):
                    draw = draws(drawings, 20, fraction, kind, seed)
                    yield Cell(name, kind, fraction), Scan(drawings, draw, *bases(name, draw.scanned))
        say(name)


def larger(drawings: Drawings, bases: Bases, count: int) -> Iterator[tuple[Cell, Scan]]:
    for ids, ((everyone, foreign),) in settings(drawings)["subjects"]:
        bank, everything = bank_of(bases.candidates, ids, drawings.encoder), np.arange(len(drawings.keys))
        for name in LARGER_BASES:
            _, method, parameters = ALL_BASES[name]
            known = drawings.scores(bank, method, parameters, everything)
            for kind, size, places, seed in mixes(drawings, everyone, foreign, count):
                some = of_these(drawings, places, everyone)
                for fraction in FRACTIONS:
                    draw = draws(some, size, fraction, "strays" if kind == "strays" else "a kind", seed)
                    yield Cell(name, kind, fraction), Scan(some, draw, bank, known[places][draw.scanned])
        say(f"{', '.join(foreign)} foreign")


def mixes(
    drawings: Drawings, everyone: Sequence[str], foreign: Sequence[str], count: int
) -> Iterator[tuple[str, int, np.ndarray, int]]:
    """What is mixed, how many pictures are the reference, the pictures, and the seed of the draw."""
    whole, theirs = drawings.of([*everyone, *foreign]), drawings.of(foreign)
    for seed in range(count):
        yield "a kind" if len(foreign) == 1 else "strays", 100, whole, seed
        for group in LARGE if len(foreign) == 1 else ():
            if group in everyone:
                mine, rest = drawings.of([group]), drawings.of([other for other in everyone if other != group])
                others = np.random.default_rng([SEED, seed]).permutation(rest)[: len(mine)]
                yield "one makes half", 50, np.concatenate([mine, others, theirs]), seed


def of_these(drawings: Drawings, places: np.ndarray, everyone: Sequence[str]) -> Drawings:
    """These pictures alone, those of some subjects as the one that belongs."""
    rows = [drawings.rows[place] for place in places]
    named = [ID_SUBJECT if row["subject"] in everyone else f"foreign {row['subject']}" for row in rows]
    return replace(
        drawings,
        keys=[drawings.keys[place] for place in places],
        rows=[{**row, "subject": name} for row, name in zip(rows, named, strict=True)],
        embeddings=drawings.embeddings[places],
        words=drawings.words[places],
    )


def measured(scan: Scan, seed: int) -> Iterator[tuple[Way, list[float]]]:
    """In each way what was measured without verdicts and with them, each on pictures that were not asked about and on
    all."""
    drawings, draw = scan.drawings, scan.draw
    among = Neighbourhood.of(
        drawings.embeddings[draw.scanned],
        [drawings.keys[place] for place in draw.scanned],
        Consensus(),
        labels=scan.bank.embeddings[: scan.bank.id_count],
        reference=drawings.embeddings[draw.reference],
    )
    wrong = np.random.default_rng([SEED, len(draw.scanned), seed]).random(max(COUNTS))
    for reference in (False, True):
        parameters = Consensus(reference=reference)
        asked = questions(among, scan.log_odds, parameters, max(COUNTS))
        before = consensus_of_neighbours(among, scan.log_odds, parameters).score
        for count in COUNTS:
            rest = np.delete(np.arange(len(draw.scanned)), asked[:count])
            for right in RIGHT:
                answers = (draw.belongs[asked] ^ (wrong[: len(asked)] >= right)).astype(np.float64)
                told = among.told(asked[:count], answers[:count])
                after = consensus_of_neighbours(told, scan.log_odds, parameters).score
                parts = rest, np.arange(len(draw.scanned))
                found = [ranked(score[some], draw.belongs[some]) for some in parts for score in (before, after)]
                yield (reference, count, right), [value for each in found for value in each]


def ranked(scores: np.ndarray, belongs: np.ndarray) -> tuple[float, float]:
    """AUROC and FPR95; NaN where nothing belongs, or all."""
    if belongs.all() or not belongs.any():
        return np.nan, np.nan
    return auroc(scores[belongs], scores[~belongs]), fpr_at_recall(scores[belongs], scores[~belongs], 0.95)


def gathered(scans: Iterator[tuple[Cell, Scan]]) -> dict[Cell, dict[Way, np.ndarray]]:
    """Of each cell and way a row for every draw: the values of `measured`."""
    found = defaultdict[Cell, dict[Way, list[list[float]]]](lambda: defaultdict(list))
    for number, (cell, scan) in enumerate(scans):
        if len(scan.draw.scanned) >= LEAST:
            for way, values in measured(scan, number):
                found[cell][way].append(values)
    return {cell: {way: np.array(rows) for way, rows in ways.items()} for cell, ways in found.items()}


def differences(rows: np.ndarray, metric: int) -> tuple[int, float, float, float]:
    """How many draws, the mean without verdicts, that of the difference, and two of its standard errors."""
    there = rows[~np.isnan(rows[:, metric])]
    if not len(there):
        return 0, np.nan, np.nan, np.nan
    added = there[:, metric + 2] - there[:, metric]
    return len(there), float(there[:, metric].mean()), float(added.mean()), float(2 * added.std() / len(there) ** 0.5)


def shown(found: tuple[int, float, float, float]) -> str:
    draws_of, _, mean, error = found
    return f"{1000 * mean:+.0f} ± {1000 * error:.0f}" if draws_of >= FEWEST else "–"


def table(found: Mapping[Cell, Mapping[Way, np.ndarray]]) -> Iterator[str]:
    yield (
        "| base | foreign | of the scan | reference | draws | AUROC, FPR95 | "
        + " | ".join(f"{count} verdicts" + ("" if right == 1 else f", {right:.0%} right") for count, right in SHOWN)
        + " |"
    )
    yield "|---" * (6 + len(SHOWN)) + "|"
    for cell, ways in sorted(found.items()):
        for reference in (False, True):
            each = [[differences(ways[reference, *way], metric) for metric in (0, 1)] for way in SHOWN]
            (draws_of, areas, *_), (_, passed, *_) = each[0]
            added = [", ".join(map(shown, one)) for one in each]
            heading = f"{cell.base} | {cell.kind} | {cell.fraction:.1%} | {'yes' if reference else 'no'} | {draws_of}"
            yield f"| {heading} | {areas:.3f}, {passed:.3f} | {' | '.join(added)} |"


def lines(name: str, found: Mapping[Cell, Mapping[Way, np.ndarray]]) -> Iterator[str]:
    """Each mean as JSON."""
    for cell, ways in sorted(found.items()):
        for (reference, count, right), rows in ways.items():
            known = {"scans": name, **cell._asdict(), "reference": reference, "verdicts": count, "right": right}
            for place, metric in ((0, "auroc"), (1, "fpr95"), (4, "auroc of all"), (5, "fpr95 of all")):
                number, without, mean, error = differences(rows, place)
                found_of = {"draws": number, "without": without, "difference": mean, "two_errors": error}
                yield json.dumps({**known, "metric": metric, **found_of})


def main() -> None:
    options_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options_of.add_argument("--draws", type=int, default=10, help="draws of each mix; in `larger` half as many")
    options_of.add_argument("--only", choices=("animals", "larger"))
    options_of.add_argument("--json", type=Path, help="a file for all means, one a line")
    options = options_of.parse_args()
    drawings = Drawings.read()
    bases, kept = Bases(drawings), list[str]()
    for name, scans, count in (("animals", animals, options.draws), ("larger", larger, max(1, options.draws // 2))):
        if options.only in (None, name):
            found = gathered(scans(drawings, bases, count))
            print(f"{name}\n", *table(found), "", sep="\n", flush=True)
            kept += lines(name, found)
    if options.json:
        options.json.write_text("\n".join(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
