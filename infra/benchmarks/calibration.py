"""How well thresholds keep what belongs, and what an estimate without labels is worth, on the bundled drawings.

    python -m infra.benchmarks.calibration scans/demo/scan

`make demo` makes the scan. Calibration: over 20 splits, half of the animals tells the threshold that keeps 95 %, and
the other half is held against it; and in how many draws of half as many, with replacement, the interval covers the
threshold of all. Estimate: animals with so many drawings of other subjects that these are 0, 1, 10 and 50 % of all, 20
draws each.
"""

import argparse

import numpy as np
import pyarrow.parquet as pq

from ood_core.calibration import estimated, images_needed, keeping

SPLITS, DRAWS, KEEP = 20, 1000, 0.95
SHARES = (0.0, 0.01, 0.1, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", help="the directory of the demo's scan")
    table = pq.read_table(f"{parser.parse_args().scan}/scores")
    belong = np.array([shard.startswith("animals") for shard in table["shard"].to_pylist()])
    print(f"{belong.sum()} animals, {(~belong).sum()} others; images needed for 95 ± 1 %: {images_needed(KEEP)}")
    for name in [column for column in table.column_names if column.startswith("score_")]:
        scores = table[name].to_numpy()
        print(f"\n{name}")
        calibration(scores[belong])
        estimate(scores[belong], scores[~belong])


def calibration(scores: np.ndarray) -> None:
    random, kept, ends = np.random.default_rng(0), [], []
    for _ in range(SPLITS):
        order = random.permutation(len(scores))
        told, held = scores[order[: len(scores) // 2]], scores[order[len(scores) // 2 :]]
        found = keeping(told, KEEP)
        kept.append(float(np.mean(held >= found.value)))
        ends.append((np.mean(held >= found.high), np.mean(held >= found.low)))
    truth, covered = keeping(scores, KEEP).value, 0
    for _ in range(DRAWS):
        found = keeping(random.choice(scores, len(scores) // 2), KEEP)
        covered += found.low <= truth <= found.high
    low, high = np.mean(ends, axis=0)
    print(f"  kept of the other half: {np.mean(kept):.1%} on average, {min(kept):.1%} to {max(kept):.1%}")
    print(
        f"  the ends of the interval keep {low:.1%} and {high:.1%}; it covers in {covered / DRAWS:.1%} of {DRAWS} draws"
    )


def estimate(belong: np.ndarray, others: np.ndarray) -> None:
    for share in SHARES:
        random, flagged = np.random.default_rng(0), []
        for _ in range(SPLITS):
            count = round(share * len(belong) / (1 - share))
            foreign = random.choice(others, count, replace=False)
            values, counts = np.unique(np.concatenate([belong, foreign]), return_counts=True)
            cut = estimated(values, counts)
            flagged.append((np.mean(belong < cut), np.mean(foreign < cut) if count else np.nan))
        wrong, right = np.nanmean(flagged, axis=0) if share else (np.mean([one for one, _ in flagged]), np.nan)
        found = "" if np.isnan(right) else f", {right:.0%} of the foreign ones"
        print(f"  estimated at {share:.0%} foreign: flags {wrong:.0%} of the animals{found}")


if __name__ == "__main__":
    main()
