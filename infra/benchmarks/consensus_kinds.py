"""What consensus changes where pictures that do not belong come in kinds, or one by one (METHODS.md §10).

The bundled drawings and model. `animals`: animals are ID, with the demo's labels. `subjects`: each subject in turn is
foreign, or half of them are at once ("mixed"); labels are the ID subjects and a noun of each ID picture's name. Foreign
pictures are drawn up to a fraction of the scan, one at least; if there are too few, ID pictures are thinned out. Shown
is by how much AUROC (x 1000) differs from the base method's in the same draw, with two standard errors over the draws,
which share pictures: among other subjects it would vary more. `c`: the agreement.

python -m infra.benchmarks.consensus_kinds [--seeds 10] [--only animals|subjects]
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from infra.benchmarks.mixed_drawings import Drawings, Mix, bank_of, candidates, settings
from infra.benchmarks.workloads import SEED, say
from ood_core.consensus.dataset import consensus
from ood_core.criteria import ConjugatedPool, Density, NegMining
from ood_core.labels import LabelBank
from ood_core.methods import MCM, AdaNeg, Consensus, Debiased, ImageMethod, InterNeg, NegLabel, NegRefine
from ood_core.metrics import auroc

FRACTIONS, MIXED = (0.005, 0.02, 0.1, 0.5), 5
CRITERIA = {"neglabel": NegMining(), "csp": ConjugatedPool(), "density": Density()}
BASES: Mapping[str, tuple[str, str, ImageMethod]] = {
    "NegLabel": ("neglabel", "neglabel", NegLabel()),
    "CSP": ("csp", "neglabel", NegLabel()),
    "NegRefine": ("csp", "negrefine", NegRefine()),
    "Debiased": ("density", "debiased", Debiased()),
    "MCM": ("neglabel", "mcm", MCM()),
    "AdaNeg": ("neglabel", "adaneg", AdaNeg()),
    "InterNeg": ("neglabel", "interneg", InterNeg()),
}
"""By what the table calls them: the bank's criterion, the method and its parameters."""
WEIGHTS = {"METHODS.md's weights": Consensus(reach=None), "ours": Consensus()}


def draws(drawings: Drawings, mix: Mix, seeds: int) -> Iterator[tuple[float, np.ndarray, int]]:
    """Fraction, pictures and number of ID pictures, which come first."""
    everyone, foreign = map(drawings.of, mix)
    for fraction in FRACTIONS:
        count = max(1, round(fraction / (1 - fraction) * len(everyone)))
        for seed in range(seeds if len(mix[1]) == 1 else MIXED * seeds):
            rng, inside = np.random.default_rng([SEED, seed]), everyone
            if count > len(foreign):
                inside = rng.permutation(everyone)[: round(len(foreign) * (1 - fraction) / fraction)]
            yield fraction, np.concatenate([inside, rng.permutation(foreign)[:count]]), len(inside)


def measured(
    drawings: Drawings, banks: Mapping[str, LabelBank], mixes: Sequence[Mix], seeds: int
) -> Iterator[tuple[tuple[str, float, str], list[float]]]:
    """Of every draw its base, fraction and kind; the base's AUROC, what each of `WEIGHTS` adds, and the agreement."""
    for base, (criterion, method, parameters) in BASES.items():
        score = partial(drawings.scores, banks[criterion], method, parameters)
        known = None if parameters.learning_order else score(np.arange(len(drawings.keys)))
        for mix in mixes:
            for fraction, places, inside in draws(drawings, mix, seeds):
                scores = score(places) if known is None else known[places]
                images, keys = drawings.embeddings[places], [drawings.keys[place] for place in places]
                found = [consensus(images, keys, scores, weights) for weights in WEIGHTS.values()]
                before, *after = (auroc(s[:inside], s[inside:]) for s in (scores, *(each.score for each in found)))
                row = [before, *(1000 * (value - before) for value in after), found[-1].agreement]
                yield (base, fraction, "mixed" if len(mix[1]) > 1 else "one"), row


def table(draws_of: Mapping[tuple[str, float, str], list[list[float]]]) -> Iterator[str]:
    yield f"| base | foreign | of the scan | draws | AUROC | {' | '.join(WEIGHTS)} | c |"
    yield "|---" * 8 + "|"
    for (base, fraction, kind), found in draws_of.items():
        mean, error = np.mean(found, axis=0), 2 * np.std(found, axis=0) / len(found) ** 0.5
        added = " | ".join(f"{mean[place]:+.1f} ± {error[place]:.1f}" for place in range(1, 1 + len(WEIGHTS)))
        yield f"| {base} | {kind} | {fraction:.1%} | {len(found)} | {mean[0]:.3f} | {added} | {mean[-1]:.2f} |"


def main() -> None:
    options_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options_of.add_argument("--seeds", type=int, default=10, help=f"draws of a fraction; mixed {MIXED} times that")
    options_of.add_argument("--only", choices=("animals", "subjects"))
    options = options_of.parse_args()
    drawings = Drawings.read()
    found_by = {name: candidates(criterion, drawings.encoder) for name, criterion in CRITERIA.items()}
    chosen = {name: groups for name, groups in settings(drawings).items() if options.only in (None, name)}
    for setting, groups in chosen.items():
        draws_of = defaultdict(list)
        for ids, mixes in groups:
            banks = {name: bank_of(found, ids, drawings.encoder) for name, found in found_by.items()}
            for key, found in measured(drawings, banks, mixes, options.seeds):
                draws_of[key].append(found)
            say(f"{setting}: {len(ids)} ID labels, {', '.join(mixes[-1][1])} foreign")
        print(f"{setting}\n", *table(draws_of), "", sep="\n")


if __name__ == "__main__":
    main()
