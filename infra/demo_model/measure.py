"""AUROC of NegLabel and MCM on the demo shards, per OOD subject, with bootstrap intervals; plain library calls, no Ray.

python -m infra.demo_model.measure [--demo pipelines/demo]
"""

import argparse
import csv
import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from infra.demo_model.shards import ID_SUBJECT
from ood_core.encoders import ClipEncoder
from ood_core.labels.neglabel import similarity_quantile
from ood_core.labels.selection import keep_lowest
from ood_core.metrics import auroc
from ood_core.numerics import grouped_negative_mass, mass_outside_maximum
from ood_core.scores.neglabel import group_order
from ood_core.vocabulary import MCM, NEGLABEL, id_labels, wordnet_corpus

GROUPS, QUANTILE, FRACTION, SEED = 100, 0.95, 0.15, 0
RESAMPLES = 2000
Scores = Mapping[str, np.ndarray]


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


def _image_embeddings(encoder: ClipEncoder, demo: Path) -> tuple[list[str], torch.Tensor]:
    """Subjects and unit embeddings of the demo pictures."""
    with (demo / "manifest.csv").open(encoding="utf-8") as file:
        subjects = {row["key"]: row["subject"] for row in csv.DictReader(file)}
    found = list(pictures(demo / "shards"))
    pixels = [encoder.preprocessing(Image.open(io.BytesIO(content))) for _, content in found]
    return [subjects[key] for key, _ in found], encoder.encode_images(torch.from_numpy(np.stack(pixels)))


def _negatives(encoder: ClipEncoder, ids: torch.Tensor) -> torch.Tensor:
    """Embeddings of the mined negative labels, nouns then adjectives, in the order of their selection."""
    parts = []
    for part, templates in (("noun", NEGLABEL.noun), ("adjective", NEGLABEL.adjective)):
        words = [word.text for word in wordnet_corpus() if word.part == part]
        features = encoder.encode_ensembles(templates, words)
        parts.append(features[keep_lowest(similarity_quantile(features, ids, QUANTILE), FRACTION)])
    return torch.cat(parts)


def scores(demo: Path) -> tuple[list[str], Scores]:
    """Subject of every demo picture, and its score by method; higher = more in-distribution."""
    encoder = ClipEncoder.load(f"local-dir:{demo / 'model'}")
    labels = id_labels((demo / "id_labels.txt").read_bytes())
    ids, photos = encoder.encode_ensembles(NEGLABEL.id, labels), encoder.encode_ensembles(MCM.id, labels)
    negatives = _negatives(encoder, ids)
    order = torch.from_numpy(group_order(np.random.default_rng(SEED).permutation(len(negatives)), GROUPS))
    subjects, images = _image_embeddings(encoder, demo)
    id_cosines, negative_cosines = images @ ids.T, images @ negatives.T
    tau = encoder.temperature
    outside = {"NegLabel": grouped_negative_mass(id_cosines / tau, negative_cosines[:, order] / tau)}
    for prompt, cosines in (("a photo of a", images @ photos.T), ("the nice", id_cosines)):
        for temperature in (1.0, 0.01):
            outside[f"MCM, τ {temperature:g}, {prompt} …"] = mass_outside_maximum(cosines / temperature)
    return subjects, {name: -mass.numpy() for name, mass in outside.items()}


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
    rows: dict[str, list[str]] = {}
    for values in by_method.values():
        inside, outside = _split(subjects, values)
        results = {s: auroc(inside, ood) for s, ood in outside.items()}
        low, high = interval(inside, outside)
        for subject, value in results.items():
            rows.setdefault(f"{subject} ({len(outside[subject])})", []).append(f"{value:.3f}")
        rows.setdefault("average", []).append(f"{np.mean(list(results.values())):.3f} ({low:.3f}–{high:.3f})")
        pooled = auroc(inside, np.concatenate(list(outside.values())))
        rows.setdefault(f"pooled ({len(subjects) - len(inside)})", []).append(f"{pooled:.3f}")
    print(f"{subjects.count(ID_SUBJECT)} ID pictures\n\n| OOD subject (pictures) | " + " | ".join(by_method) + " |")
    print("|---" * (len(by_method) + 1) + "|")
    print("\n".join(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()))


if __name__ == "__main__":
    main()
