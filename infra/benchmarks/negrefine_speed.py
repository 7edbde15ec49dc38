"""NegRefine, its pairs encoded once and at their own context, against 25 pairs an image at the whole context.

Which pairs come up is real: drawings of the demo (634, and flipped and cropped copies of them up to `--images`), their
embeddings by the bundled model, and a label bank of that model, by NegLabel's criterion unless `--labels` gives one.
The pairs' texts are encoded under CSP's eight prompts by a text tower of ViT-B-32's architecture and random weights:
how fast it is does not depend on them. So that they can be compared with images of the bundled model, their embeddings
are cut to its dimension. Only the cost is measured, and that both sides give the same scores.

The other side is the published way: image by image, 5 x 5 pairs x 8 prompts, OpenCLIP's own `encode_text` on texts
padded to 77 tokens. An image costs the same whatever it shows, so it takes `--sample` of the images, one after each
part of ours, in the same process, and its time for all images is extrapolated.

python -m infra.benchmarks.negrefine_speed [--images 2000] [--sample 3] [--labels DIR] [--scratch DIR]
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from infra.benchmarks.text_speed import encode_at_full_context, random_vit
from infra.benchmarks.varied_drawings import DRAWINGS, embedded
from infra.benchmarks.workloads import drawings, machine, parser, say
from ood_core.encoders import ClipEncoder
from ood_core.labels import LabelBank
from ood_core.methods import NegLabel, NegRefine
from ood_core.numerics import BLOCK
from ood_core.scores import ImageScorer
from ood_core.vocabulary import CSP

PARAMETERS = NegRefine()


@dataclass
class Encode:
    """Words to unit vectors of the bank's dimension, by a tower of another; counts and times what it encodes."""

    encoder: ClipEncoder
    dim: int
    full_context: bool = False
    texts: int = 0
    seconds: float = 0.0

    def __call__(self, words: Sequence[str]) -> Tensor:
        start = time.perf_counter()
        encode = encode_at_full_context if self.full_context else ClipEncoder.encode_ensembles
        found = F.normalize(encode(self.encoder, CSP.noun, words)[:, : self.dim], dim=1)
        self.seconds += time.perf_counter() - start
        self.texts += len(words) * len(CSP.noun)
        return found


@dataclass
class Published:
    """The score of one image at a time, every one of its pairs encoded anew."""

    neglabel: ImageScorer
    encode: Encode

    @torch.inference_mode()
    def __call__(self, image: Tensor, bank: LabelBank) -> float:
        cosines = torch.from_numpy(bank.embeddings) @ image
        ids, negatives = (
            cosines[: bank.id_count].topk(PARAMETERS.top_k),
            cosines[bank.id_count :].topk(PARAMETERS.top_k),
        )
        of_negatives = bank.texts[bank.id_count :]
        words = [f"{bank.texts[i]} and {of_negatives[j]}" for i in ids.indices for j in negatives.indices]
        pairs = (self.encode(words) @ image).view(PARAMETERS.top_k, -1)
        matching = torch.sigmoid((pairs - negatives.values).max().double() / bank.info.temperature)
        return float(self.neglabel(image[None]).scores["neglabel"][0] + PARAMETERS.alpha * matching)


def compare(bank: LabelBank, images: Tensor, vit: ClipEncoder, sample: int) -> dict[str, Any]:
    """Ours over all images in `sample` parts of whole blocks; after each part one of its images the published way."""
    ours, theirs = Encode(vit, bank.dim), Encode(vit, bank.dim, full_context=True)
    for encode in (ours, theirs):
        encode(["a warm-up"])
        encode.texts, encode.seconds = 0, 0.0
    scorer = ImageScorer(bank, {"negrefine": PARAMETERS}, encode=ours)
    published = Published(ImageScorer(bank, {"neglabel": NegLabel()}), theirs)
    ours_s = theirs_s = difference = 0.0
    parts = images.split(-(-len(images) // (sample * BLOCK)) * BLOCK)
    for number, part in enumerate(parts):
        start = time.perf_counter()
        scores = scorer(part).scores["negrefine"]
        ours_s, start = ours_s + time.perf_counter() - start, time.perf_counter()
        score = published(part[0], bank)
        theirs_s += time.perf_counter() - start
        difference = max(difference, abs(score - scores[0]))
        say(f"part {number + 1} of {len(parts)}: ours {ours_s:.0f} s, theirs {theirs_s:.1f} s for {number + 1} images")
    sides = {"ours": (ours, ours_s, len(images)), "published": (theirs, theirs_s, len(parts))}
    return described(sides, pair_codes(images, bank), len(images)) | {"largest_difference": difference}


def pair_codes(images: Tensor, bank: LabelBank) -> Tensor:
    """A number for each pair that each image asks for."""
    cosines = images @ torch.from_numpy(bank.embeddings).T
    ids = cosines[:, : bank.id_count].topk(PARAMETERS.top_k).indices
    negatives = cosines[:, bank.id_count :].topk(PARAMETERS.top_k).indices
    return (ids[:, :, None] * bank.negative_count + negatives[:, None]).flatten()


def described(sides: Mapping[str, tuple[Encode, float, int]], codes: Tensor, images: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        side: {
            "images": count,
            "seconds": seconds,
            "images_per_s": count / seconds,
            "texts": encode.texts,
            "texts_per_s": encode.texts / encode.seconds,
        }
        for side, (encode, seconds, count) in sides.items()
    }
    ours, published, distinct = found["ours"], found["published"], len(codes.unique())
    return found | {
        "published_s_extrapolated": images / published["images_per_s"],
        "pairs": len(codes),
        "distinct_pairs": distinct,
        "hit_rate": 1 - distinct / len(codes),
        "factor_of_deduplication": len(codes) * len(CSP.noun) / ours["texts"],
        "factor_of_context": ours["texts_per_s"] / published["texts_per_s"],
        "ratio": ours["images_per_s"] / published["images_per_s"],
    }


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--images", type=int, default=2000)
    options_of.add_argument("--sample", type=int, default=3, help="images scored the published way")
    options_of.add_argument("--labels", type=Path, help="a label bank of the bundled model; default: NegLabel's")
    options_of.add_argument("--threads", type=int, default=2)
    options = options_of.parse_args()
    host = machine()
    made = drawings(options.scratch, DRAWINGS)
    bank = LabelBank.load(options.labels or made.bank)
    torch.set_num_threads(options.threads)
    images = embedded(made.tars, options.images)
    sizes = {"threads": options.threads, "id_labels": bank.id_count, "negatives": bank.negative_count}
    print(json.dumps({"machine": host, **sizes, **compare(bank, images, random_vit(), options.sample)}, indent=2))


if __name__ == "__main__":
    main()
