"""Write a training checkpoint as an OpenCLIP model directory: a JSON config and fp16 safetensors.

python -m infra.demo_model.export --checkpoint FILE --output pipelines/demo/model [--scale 10]
"""

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from infra.demo_model.model import CONFIG, VOCABULARY, build


def all_tokens(trained: Tensor, used: list[int]) -> Tensor:
    """[used, width] -> [vocabulary, width]: rows of tokens that never occurred get the mean of those that did."""
    rows = trained.mean(dim=0, keepdim=True).repeat(VOCABULARY, 1)
    rows[used] = trained
    return rows


def exported(checkpoint: Path, which: str, scale: float | None) -> dict[str, Tensor]:
    """The last or the averaged weights in fp16 under OpenCLIP's names, checked to load into OpenCLIP's own class."""
    weights = dict(torch.load(checkpoint, weights_only=True)[which])
    used = [int(line) for line in (checkpoint.parent / "tokens.txt").read_text().split()]
    weights["token_embedding.weight"] = all_tokens(weights["token_embedding.weight"], used)
    if scale is not None:
        weights["logit_scale"] = torch.tensor(math.log(scale))
    build().load_state_dict(weights)
    return {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--weights", choices=("model", "average"), default="model", help="the last, or their average")
    parser.add_argument("--scale", type=float, help="logit scale to write instead of the learned one")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    weights = exported(options.checkpoint, options.weights, options.scale)
    (options.output / "open_clip_model.safetensors").write_bytes(save(weights))
    (options.output / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    print(f"{sum(v.numel() for v in weights.values()):,} values, logit scale {weights['logit_scale'].exp():.2f}")


if __name__ == "__main__":
    main()
