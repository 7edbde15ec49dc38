"""A corpus of millions through `oodscan labels build`: criterion, WordNet judge, bank. Time and peak memory.

The words are made up: every tenth is one of WordNet's nouns, or an adjective before one; the others end in a number.
The model costs next to nothing (`hash_model`), so this measures the machinery. Of every corpus the same share is kept,
or the same number with --keep.

python -m infra.benchmarks.corpus_scale [--counts 1000000 5000000] [--keep N] [--scratch DIR]
"""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from infra.benchmarks.hash_model import HashModel
from infra.benchmarks.peak_memory import peak
from infra.benchmarks.workloads import DEMO_LABELS, machine, parser, say
from ood_core.vocabulary import ADJECTIVE_FILES, NOUN_FILES, wordnet_corpus
from pipelines.config.labels import LabelsBuild
from pipelines.label_banks.build import build
from pipelines.label_banks.request import LabelBankRequest

SHARE = 0.15


def phrases(file: Path, count: int) -> Path:
    """Different phrases, one a line."""
    nouns, adjectives = ([word.text for word in wordnet_corpus(files)] for files in (NOUN_FILES, ADJECTIVE_FILES))
    with file.open("w", encoding="utf-8") as lines:
        for number in range(count):
            cycle, row = divmod(number // 10, len(nouns))
            text = f"{adjectives[cycle - 1]} {nouns[row]}" if cycle else nouns[row]
            lines.write(f"{text} {number}\n" if number % 10 else f"{text}\n")
    return file


def run(words: Path, share: float, output: Path) -> None:
    """One build, in this process; what it took goes to `output`."""
    config = LabelsBuild(
        id_labels=str(DEMO_LABELS), output=str(output), corpus=(str(words),), fraction=share
    )  # the judge is WordNet's
    begun, lines = time.monotonic(), []
    bank = build(
        LabelBankRequest.prepare(config, {}),
        say=lambda line: lines.append((time.monotonic() - begun, line)),
        model=HashModel(),
    )
    told = {"seconds": time.monotonic() - begun, "counts": bank.info.counts, "said": lines}
    (output / "run.json").write_text(json.dumps(told))


def measured(scratch: Path, count: int, share: float) -> dict[str, Any]:
    output = scratch / f"corpus-bank-{count}"
    shutil.rmtree(output, ignore_errors=True)
    words = phrases(scratch / f"corpus-{count}.txt", count)
    module = [sys.executable, "-m", "infra.benchmarks.corpus_scale"]
    memory = peak([*module, "--one", str(words), "--share", str(share), "--output", str(output)])
    told = json.loads((output / "run.json").read_text())
    files = {file.name: round(file.stat().st_size / 2**20) for file in sorted(output.glob("*.parquet"))}
    return {"phrases": count, "share": share, **memory, **told, "files_mib": files}


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--counts", type=int, nargs="+", default=(1_000_000, 5_000_000))
    options_of.add_argument("--keep", type=int, help="how many phrases the criterion keeps of every corpus")
    options_of.add_argument("--one", type=Path, help="build once from this file, without measuring memory")
    options_of.add_argument("--share", type=float, default=SHARE)
    options_of.add_argument("--output", type=Path)
    options = options_of.parse_args()
    if options.one:
        run(options.one, options.share, options.output)
        return
    options.scratch.mkdir(parents=True, exist_ok=True)
    runs = []
    for count in options.counts:
        runs.append(measured(options.scratch, count, options.keep / count if options.keep else options.share))
        say(f"{count}: {runs[-1]['seconds']:.0f} s, {runs[-1]['peak_mib']:.0f} MiB")
    print(json.dumps({"machine": machine(), "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
