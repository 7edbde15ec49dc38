"""The opponent: what one writes without oodscan. One process, tar by tar, batch by batch; NegLabel by key.

OpenCLIP's own preprocess and torch on all cores. Prints images/s from the opening of the first tar to the last row
written; imports and the loading of the model are left out.

python -m infra.benchmarks.plain_loop --model local-dir:DIR --labels BANK --output FILE.parquet TAR...
"""

import argparse
import io
import itertools
import json
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ood_core.labels import LabelBank

SUFFIXES = (".jpg", ".png")


def pictures(tars: Iterable[Path]) -> Iterator[tuple[str, Image.Image]]:
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None and member.name.endswith(SUFFIXES):
                    yield member.name.rpartition(".")[0], Image.open(io.BytesIO(file.read()))


def batches(items: Iterator, size: int) -> Iterator[list]:
    while batch := list(itertools.islice(items, size)):
        yield batch


def neglabel(bank: LabelBank, groups: int = 100) -> Callable[[Tensor], Tensor]:
    """NegLabel's softmax mass on the ID labels, averaged over the bank's groups of negatives."""
    id_labels = torch.from_numpy(bank.embeddings[: bank.id_count]).T.contiguous()
    permutation = bank.permutation()
    groups = min(groups, len(permutation))
    kept = len(permutation) - len(permutation) % groups
    ordered = permutation[permutation < kept]
    negatives = torch.from_numpy(bank.embeddings[bank.id_count :][ordered]).T.contiguous()

    def score(embeddings: Tensor) -> Tensor:
        scaled = embeddings / bank.info.temperature
        positive = torch.logsumexp(scaled @ id_labels, dim=1, keepdim=True)
        negative = torch.logsumexp((scaled @ negatives).view(len(scaled), groups, -1), dim=2)
        return torch.sigmoid(positive - negative).mean(dim=1)

    return score


@torch.inference_mode()
def run(model_name: str, bank: LabelBank, tars: list[Path], output: Path, batch_size: int, layout: str) -> dict:
    model, _, preprocess = open_clip.create_model_and_transforms(model_name)
    model = model.eval()
    memory_format = getattr(torch, layout)
    score = neglabel(bank)
    keys: list[str] = []
    scores: list[Tensor] = []
    start = time.perf_counter()
    for batch in batches(pictures(tars), batch_size):
        keys += [key for key, _ in batch]
        pixels = torch.stack([preprocess(picture) for _, picture in batch])  # pyright: ignore
        features = model.encode_image(pixels.contiguous(memory_format=memory_format))  # pyright: ignore
        scores.append(score(F.normalize(features, dim=1)))
    pq.write_table(pa.table({"key": keys, "score_neglabel": torch.cat(scores).double().numpy()}), output)
    seconds = time.perf_counter() - start
    return {
        "images": len(keys),
        "seconds": seconds,
        "images_per_s": len(keys) / seconds,
        "threads": torch.get_num_threads(),
        "batch": batch_size,
        "layout": layout,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tars", nargs="+", type=Path)
    parser.add_argument("--model", required=True, help="as OpenCLIP names it, e.g. local-dir:DIR")
    parser.add_argument("--labels", required=True, type=Path, help="a label bank")
    parser.add_argument("--output", required=True, type=Path, help="a Parquet file: key, score_neglabel")
    parser.add_argument("--batch", type=int, default=256, help="images a batch")
    parser.add_argument("--layout", choices=("channels_last", "contiguous_format"), default="channels_last")
    options = parser.parse_args()
    bank = LabelBank.load(options.labels)
    print(json.dumps(run(options.model, bank, options.tars, options.output, options.batch, options.layout)))


if __name__ == "__main__":
    main()
