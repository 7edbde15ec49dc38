"""Words/s of ClipEncoder, which runs each text at the shortest context that holds it, against the whole context.

The other side is OpenCLIP's own `encode_text`, every text padded to the model's context, in batches of the same size:
the same weights, words and prompts, in turn, in one process. WordNet's nouns, in NegLabel's one prompt and in CSP's
ensemble of eight; ViT-B-32 (77 tokens; random weights, how fast it is does not depend on them) and the bundled model
(16 tokens).

Each side takes a seeded random sample of the nouns. A text at the whole context costs the same whatever it says, so few
are enough there. The short side takes more, since it pads the last block of each length: the fewer texts, the more of
its work is padding, and the lower the ratio. The one sample begins the other, and there the embeddings are compared.

python -m infra.benchmarks.text_speed [--model vit-b-32|bundled] [--prompts neglabel|csp] [--sample 512]
    [--short-sample 8192] [--repeats 3]
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from infra.benchmarks.workloads import SEED, machine, say
from ood_core.encoders import ClipEncoder
from ood_core.vocabulary import CSP, NEGLABEL, NOUN_FILES, fill, wordnet_corpus
from pipelines.runtime.model import BUNDLED_DIRECTORY

PROMPTS = {"neglabel": NEGLABEL.noun, "csp": CSP.noun}


def random_vit() -> ClipEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = open_clip.create_model("ViT-B-32")
    return ClipEncoder(model, open_clip.get_tokenizer("ViT-B-32"), "random weights")


def bundled() -> ClipEncoder:
    return ClipEncoder.load(f"local-dir:{BUNDLED_DIRECTORY}")


MODELS: dict[str, Callable[[], ClipEncoder]] = {"vit-b-32": random_vit, "bundled": bundled}


@torch.inference_mode()
def encode_at_full_context(encoder: ClipEncoder, templates: Sequence[str], words: Sequence[str]) -> Tensor:
    """What `encode_ensembles` gives, by the model's own `encode_text` on texts padded to its whole context."""
    texts = [text for word in words for text in fill(templates, word)]
    batches = [
        encoder.model.encode_text(encoder.tokenizer(texts[start : start + encoder.text_block]))  # pyright: ignore
        for start in range(0, len(texts), encoder.text_block)
    ]
    return F.normalize(torch.cat(batches).view(len(words), len(templates), -1).mean(dim=1), dim=1)


def timed(encode: Callable[[], Tensor]) -> tuple[Tensor, float]:
    start = time.perf_counter()
    embeddings = encode()
    return embeddings, time.perf_counter() - start


def compare(
    encoder: ClipEncoder, templates: Sequence[str], full: Sequence[str], short: Sequence[str], repeats: int
) -> dict[str, Any]:
    """`repeats` runs of each side, in turn, after one block of each to warm up. One of the samples begins the other."""
    both = min(len(full), len(short))
    encode_at_full_context(encoder, templates, full[: encoder.text_block // len(templates)])
    encoder.encode_ensembles(templates, short[: encoder.text_block // len(templates)])
    runs = []
    for repeat in range(repeats):
        theirs, full_s = timed(lambda: encode_at_full_context(encoder, templates, full))
        ours, short_s = timed(lambda: encoder.encode_ensembles(templates, short))
        rates = {"full_words_per_s": len(full) / full_s, "short_words_per_s": len(short) / short_s}
        ratio = rates["short_words_per_s"] / rates["full_words_per_s"]
        difference = float((theirs[:both] - ours[:both]).abs().max())
        runs.append(rates | {"ratio": ratio, "largest_difference": difference})
        say(f"{repeat + 1} of {repeats}: {runs[-1]}")
    medians = {f"median_{name}": statistics.median(run[name] for run in runs) for name in [*rates, "ratio"]}
    largest = max(run["largest_difference"] for run in runs)
    samples = {"templates": len(templates), "full_sample": len(full), "short_sample": len(short), "compared": both}
    return samples | medians | {"largest_difference": largest, "runs": runs}


def words_for(nouns: Sequence[str], texts: int, templates: Sequence[str]) -> Sequence[str]:
    """As many words as make `texts` texts; all for 0."""
    return nouns[: -(-texts // len(templates))] if texts else nouns


def main() -> None:
    options_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options_of.add_argument("--model", choices=tuple(MODELS), help="default: both")
    options_of.add_argument("--prompts", choices=tuple(PROMPTS), help="default: both")
    options_of.add_argument("--sample", type=int, default=512, help="texts at the whole context; 0: of all nouns")
    options_of.add_argument("--short-sample", type=int, default=8192, help="texts at their own; 0: of all nouns")
    options_of.add_argument("--repeats", type=int, default=3)
    options = options_of.parse_args()
    nouns = [word.text for word in wordnet_corpus(NOUN_FILES)]
    shuffled = random.Random(SEED).sample(nouns, len(nouns))  # noqa: S311
    result: dict[str, Any] = {"machine": machine(), "threads": torch.get_num_threads(), "nouns": len(nouns)}
    for name in [options.model] if options.model else MODELS:
        encoder = MODELS[name]()
        result[name] = {"full_context": encoder.tokenizer(["a"]).shape[1]}
        for prompts in [options.prompts] if options.prompts else PROMPTS:
            templates = PROMPTS[prompts]
            say(f"{name}, {prompts} prompts")
            full = words_for(shuffled, options.sample, templates)
            short = words_for(shuffled, options.short_sample, templates)
            result[name][prompts] = compare(encoder, templates, full, short, options.repeats)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
