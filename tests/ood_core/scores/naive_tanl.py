"""METHODS.md §11 with loops, in float64, one image and one label at a time; and images to try it on."""

from dataclasses import dataclass

import numpy as np


@dataclass
class World:
    """ID labels, corpus, images and noise: unit vectors, one a row."""

    id_labels: np.ndarray
    corpus: np.ndarray
    images: np.ndarray
    noise: np.ndarray
    temperature: float


def normalised(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def drawn(seed: int, images: int = 90, id_labels: int = 6, corpus: int = 40, temperature: float = 0.05) -> World:
    """Two thirds of the images are near ID labels, the others near a few of the corpus; the last kind is as far off."""
    rng = np.random.default_rng(seed)
    ids, words, noise = (normalised(rng.normal(size=(rows, 16))) for rows in (id_labels, corpus, 15))
    centres = np.concatenate([ids, ids, words[: max(corpus // 8, 1)]])
    near = centres[rng.integers(0, len(centres), images)] + rng.normal(scale=0.15, size=(images, 16))
    return World(ids, words, normalised(near), noise, temperature)


def masses(vectors: np.ndarray, image: np.ndarray, temperature: float) -> np.ndarray:
    return np.exp(vectors.astype(np.float64) @ image.astype(np.float64) / temperature)


def score(world: World, image: np.ndarray, chosen: np.ndarray, step: int) -> float:
    of_id = masses(world.id_labels, image, world.temperature).sum()
    of_negatives = masses(world.corpus[chosen], image, world.temperature)
    ends = range(step, len(chosen) + step, step) if step else [len(chosen)]
    return float(np.mean([of_id / (of_id + of_negatives[:end].sum()) for end in ends]))


def scores(world: World, images: np.ndarray, chosen: np.ndarray, step: int) -> np.ndarray:
    return np.array([score(world, image, chosen, step) for image in images])


def activation(world: World, image: np.ndarray) -> np.ndarray:
    of_id, of_corpus = (masses(each, image, world.temperature) for each in (world.id_labels, world.corpus))
    return of_corpus / (of_id.sum() + of_corpus.sum())


def activations(world: World, images: np.ndarray) -> np.ndarray:
    return np.array([activation(world, image) for image in images])


def cut(values: np.ndarray) -> float:
    variances = {}
    for hundredth in range(100):
        low, high = values[values < hundredth / 100], values[values >= hundredth / 100]
        if len(low) and len(high):
            variances[hundredth / 100] = (len(low) * low.var() + len(high) * high.var()) / len(values)
    best = [threshold for threshold, variance in variances.items() if variance == min(variances.values())]
    return best[len(best) // 2] if best else 0.5


def ranked(difference: np.ndarray, kept: int) -> np.ndarray:
    return np.array(sorted(range(len(difference)), key=lambda label: -difference[label])[:kept])


@dataclass
class Found:
    """Of one batch or round: the threshold, which images are confident, the labels chosen, the score by these."""

    threshold: float
    first: np.ndarray
    confident_id: np.ndarray
    confident_ood: np.ndarray
    chosen: np.ndarray
    score: np.ndarray


def sides(parameters, threshold: float, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    high = threshold + parameters.gap * (1 - threshold)
    return first > high, first < threshold - parameters.gap * threshold


def rounds(world: World, parameters) -> list[Found]:
    """Our order-free rounds, with sums of floats."""
    start_id, start_ood = activations(world, world.id_labels), activations(world, world.noise)
    of_images = activations(world, world.images)
    difference, found = start_ood.mean(0) - start_id.mean(0), []
    for _ in range(parameters.rounds):
        first = scores(world, world.images, ranked(difference, parameters.labels_kept), parameters.step)
        threshold = cut(first)
        confident_id, confident_ood = sides(parameters, threshold, first)
        rows_id = of_images[confident_id] if confident_id.any() else start_id
        rows_ood = of_images[confident_ood] if confident_ood.any() else start_ood
        difference = rows_ood.mean(0) - rows_id.mean(0)
        chosen = ranked(difference, parameters.labels_kept)
        final = scores(world, world.images, chosen, parameters.step)
        found.append(Found(threshold, first, confident_id, confident_ood, chosen, final))
    return found


def stream(world: World, parameters, id_rows: np.ndarray, noise_rows: np.ndarray) -> list[Found]:
    """The authors' order, batch by batch."""
    queue_id = [activation(world, world.id_labels[row]) for row in id_rows][-parameters.memory_length :]
    queue_ood = [activation(world, world.noise[row]) for row in noise_rows][-parameters.memory_length :]
    kept, alpha, step, found = parameters.labels_kept, parameters.alpha, parameters.step, []
    chosen = ranked(np.mean(queue_ood, axis=0) - np.mean(queue_id, axis=0), kept)
    window = [score(world, each, chosen, step) for each in (*world.id_labels, *world.noise)]
    for start in range(0, len(world.images), parameters.batch_size):
        images = world.images[start : start + parameters.batch_size]
        mean_id, mean_ood = np.mean(queue_id, axis=0), np.mean(queue_ood, axis=0)
        first = scores(world, images, ranked(mean_ood - mean_id, kept), step)
        window = [*window, *first][-parameters.score_window :]
        threshold = cut(np.array(window))
        confident_id, confident_ood = sides(parameters, threshold, first)
        of_images = activations(world, images)
        now_id = alpha * mean_id + (1 - alpha) * of_images[confident_id].mean(0) if confident_id.any() else mean_id
        now_ood = alpha * mean_ood + (1 - alpha) * of_images[confident_ood].mean(0) if confident_ood.any() else mean_ood
        chosen = ranked(now_ood - now_id, kept)
        found.append(Found(threshold, first, confident_id, confident_ood, chosen, scores(world, images, chosen, step)))
        queue_id = [*queue_id, *of_images[confident_id]][-parameters.memory_length :]
        queue_ood = [*queue_ood, *of_images[confident_ood]][-parameters.memory_length :]
    return found
