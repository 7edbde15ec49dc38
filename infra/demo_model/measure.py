"""AUROC of every method on the demo shards, per OOD subject, with bootstrap intervals.

python -m infra.demo_model.measure [--demo pipelines/demo]
"""

import argparse
import csv
import io
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from infra.demo_model.shards import ID_SUBJECT
from ood_core.encoders import ClipEncoder
from ood_core.labels import LabelBank
from ood_core.memory.inversion import Inverter
from ood_core.methods import MCM, TANL, AdaNeg, Consensus, Debiased, InterNeg, MaxCos, Method, NegLabel, NegRefine
from ood_core.metrics import auroc, metrics
from ood_core.scores import score_dataset
from ood_core.scores.tanl_noise import noise_features
from ood_core.vocabulary import CSP
from pipelines.config.labels import LabelsBuild
from pipelines.config.load import load
from pipelines.config.memory import Memory
from pipelines.config.pools import ScorePool
from pipelines.config.rescore import ReadEmbeddings, Rescore
from pipelines.label_banks.build import build
from pipelines.label_banks.request import LabelBankRequest
from pipelines.runtime.cluster import cluster
from pipelines.scans.rescore import rescore

SEED = 0
RESAMPLES = 2000
Scores = Mapping[str, np.ndarray]
METHODS: Mapping[str, tuple[str, str, Method]] = {
    "MCM, temperature 1": ("neglabel", "mcm", MCM(1.0)),
    "MCM, temperature 0.01": ("neglabel", "mcm", MCM(0.01)),
    "max-cos": ("neglabel", "max-cos", MaxCos()),
    "NegLabel": ("neglabel", "neglabel", NegLabel()),
    "NegLabel, the whole corpus": ("none", "neglabel", NegLabel()),
    "TANL": ("none", "tanl", TANL()),
    "TANL, sequential": ("none", "tanl", TANL(order="sequential")),
    "CSP": ("csp", "neglabel", NegLabel()),
    "NegRefine, unfiltered": ("csp", "negrefine", NegRefine()),
    "NegRefine, filtered by WordNet": ("csp judged", "negrefine", NegRefine()),
    "CSP, filtered by WordNet": ("csp judged", "neglabel", NegLabel()),
    "NegLabel, filtered by WordNet": ("neglabel judged", "neglabel", NegLabel()),
    "Debiased": ("density", "debiased", Debiased()),
    "AdaNeg, task": ("neglabel", "adaneg", AdaNeg()),
    "AdaNeg, sample": ("neglabel", "adaneg", AdaNeg(proxies="sample")),
    "AdaNeg, task, AdaGap": ("neglabel", "adaneg", AdaNeg(adaptive_gap=True)),
    "AdaNeg, task, streaming": ("neglabel", "adaneg", AdaNeg(order="streaming", batch_size=64)),
    "AdaNeg, sample, streaming": ("neglabel", "adaneg", AdaNeg(proxies="sample", order="streaming", batch_size=64)),
    "AdaNeg, task, sequential": ("neglabel", "adaneg", AdaNeg(order="sequential")),
    "AdaNeg, sample, sequential": ("neglabel", "adaneg", AdaNeg(proxies="sample", order="sequential")),
    "InterNeg, no ID images": ("neglabel", "interneg", InterNeg()),
    "Consensus over NegLabel": ("neglabel", "consensus", Consensus()),
}
"""By what the table calls them: the bank, the method and its parameters, all at their published defaults."""
BANKS: Mapping[str, tuple[str, str]] = {
    "neglabel": ("neglabel", "none"),
    "neglabel judged": ("neglabel", "wordnet"),
    "csp": ("csp", "none"),
    "csp judged": ("csp", "wordnet"),
    "density": ("density", "none"),
    "none": ("none", "none"),
}
"""Criterion and judge of each bank. The papers' have no judge, but for NegRefine's."""


def pictures(shards: Path) -> Iterator[tuple[str, bytes]]:
    """Key and encoded picture of every demo picture."""
    for path in sorted(shards.glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            yield row["key"], row["image"]
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".png") and (file := tar.extractfile(member)):
                    yield Path(member.name).stem, file.read()


def _image_embeddings(encoder: ClipEncoder, demo: Path) -> tuple[list[str], list[str], torch.Tensor]:
    """Subjects, keys and unit embeddings of the demo pictures."""
    with (demo / "manifest.csv").open(encoding="utf-8") as file:
        subjects = {row["key"]: row["subject"] for row in csv.DictReader(file)}
    found = list(pictures(demo / "shards"))
    pixels = [encoder.preprocessing(Image.open(io.BytesIO(content))) for _, content in found]
    keys = [key for key, _ in found]
    return [subjects[key] for key in keys], keys, encoder.encode_images(torch.from_numpy(np.stack(pixels)))


def _banks(demo: Path) -> dict[str, LabelBank]:
    """The label banks of the criteria that need no ID images, each with its paper's defaults."""
    banks = {}
    with tempfile.TemporaryDirectory() as folder, cluster():
        for name, (criterion, judge) in BANKS.items():
            settings = {
                "id_labels": str(demo / "id_labels.txt"),
                "output": f"{folder}/{name}",
                "criterion": criterion,
                "judge": judge,
                "model": {"name": f"local-dir:{(demo / 'model').absolute()}"},
            }
            banks[name] = build(LabelBankRequest.prepare(load(LabelsBuild, None, settings), {}))
    return banks


def scores(demo: Path) -> tuple[list[str], Scores]:
    """Subject of every demo picture, and its score by method; higher = more in-distribution.

    What learns from the images sees all of them, ID and OOD, as in a scan; in streaming and sequential order they come
    shuffled.
    """
    encoder = ClipEncoder.load(f"local-dir:{demo / 'model'}")
    subjects, keys, images = _image_embeddings(encoder, demo)
    banks = _banks(demo)
    noise = {"tanl": noise_features(encoder, TANL().seed)}
    encode = partial(encoder.encode_ensembles, CSP.noun)
    order = np.random.default_rng(SEED).permutation(len(keys))
    found = {}
    for name, (bank, method, parameters) in METHODS.items():
        found[name] = np.empty(len(keys))
        if isinstance(parameters, AdaNeg) and parameters.order == "streaming":
            found[name][order] = streamed(banks[bank], parameters, images[order])
            continue
        invert = Inverter(encoder, parameters.steps) if isinstance(parameters, InterNeg) else None
        shuffled = [keys[place] for place in order.tolist()]
        asked = {method: parameters, **({"neglabel": NegLabel()} if isinstance(parameters, Consensus) else {})}
        scored = score_dataset(banks[bank], asked, images[order], shuffled, encode=encode, invert=invert, noise=noise)
        found[name][order] = scored.scores[method]
    return subjects, found


def streamed(bank: LabelBank, parameters: AdaNeg, images: torch.Tensor) -> np.ndarray:
    """Scores by two workers, each at most one batch behind the memory: as they come, so no two runs are the same."""
    with tempfile.TemporaryDirectory() as folder, cluster():
        bank.save(Path(folder) / "bank")
        keys = [f"{number:06d}" for number in range(len(images))]
        table = pa.table({"key": keys, "embedding": images.numpy().tolist()})
        pq.write_table(table, Path(folder) / "images.parquet")
        chosen = Rescore(
            embeddings=(f"{folder}/images.parquet",),
            labels=f"{folder}/bank",
            output=f"{folder}/scan",
            method=("adaneg",),
            param={f"adaneg.{name}": value for name, value in vars(parameters).items()},
            memory=Memory(max_staleness=1),
            read=ReadEmbeddings(rows_per_shard=64),
            score=ScorePool(workers=2, cpus=0.5),
        )
        rescore(chosen)
        return pq.read_table(f"{folder}/scan/scores").sort_by("key")["score_adaneg"].to_numpy()


def _split(subjects: list[str], values: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    by_subject = {s: values[np.array(subjects) == s] for s in sorted(set(subjects))}
    return by_subject.pop(ID_SUBJECT), by_subject


def interval(inside: np.ndarray, outside: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """95 % bootstrap interval of the average AUROC over the OOD subjects, all pictures resampled within their set."""
    draw = np.random.default_rng(SEED)
    averages = []
    for _ in range(RESAMPLES):
        ids = draw.choice(inside, len(inside))
        averages.append(np.mean([auroc(ids, draw.choice(ood, len(ood))) for ood in outside.values()]))
    low, high = np.quantile(averages, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("pipelines/demo"))
    subjects, by_method = scores(parser.parse_args().demo)
    others = sorted(set(subjects) - {ID_SUBJECT})
    print(f"{subjects.count(ID_SUBJECT)} ID pictures against {len(subjects) - subjects.count(ID_SUBJECT)}: AUROC\n")
    print(
        "| method | "
        + " | ".join(f"{s} ({subjects.count(s)})" for s in others)
        + " | average | 95 % interval | FPR95 |"
    )
    print("|---" * (len(others) + 4) + "|")
    for name, values in by_method.items():
        inside, outside = _split(subjects, values)
        results = [metrics(inside, outside[s]) for s in others]
        low, high = interval(inside, outside)
        cells = [f"{result.auroc:.3f}" for result in results]
        average, fpr95 = np.mean([r.auroc for r in results]), np.mean([r.fpr95 for r in results])
        print(f"| {name} | " + " | ".join(cells) + f" | {average:.3f} | {low:.3f}–{high:.3f} | {fpr95:.3f} |")


if __name__ == "__main__":
    main()
