import copy
import functools
import hashlib
import json
from pathlib import Path

import hypothesis
import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch

from ood_core.labels import BankInfo, LabelBank

REPOSITORY = Path(__file__).parents[2]

hypothesis.settings.register_profile("oodscan", database=None, deadline=None, derandomize=True)
hypothesis.settings.load_profile("oodscan")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Models as small as these spend more threads on waiting for each other."""
    torch.set_num_threads(1)


def unit_rows(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    """Random unit vectors, float32."""
    drawn = np.random.default_rng(seed).normal(size=(rows, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def unit():
    return unit_rows


class HashEncoder:
    """A text encoder of sorts: every text has a unit vector of its own, always the same."""

    def __init__(self, dim: int) -> None:
        self.dim, self.encoded = dim, []

    def __call__(self, texts) -> torch.Tensor:
        self.encoded += texts
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) for text in texts]
        return torch.from_numpy(np.concatenate([unit_rows(1, self.dim, seed) for seed in seeds]))


@pytest.fixture
def hash_encoder():
    return HashEncoder


@pytest.fixture
def bank_of():
    """A bank from its labels' embeddings."""

    def build(id_labels: np.ndarray, negatives: np.ndarray, **info) -> LabelBank:
        count = len(id_labels) + len(negatives)
        return LabelBank(
            texts=[f"label {row}" for row in range(count)],
            parts=["noun"] * count,
            id_count=len(id_labels),
            embeddings=np.concatenate([id_labels, negatives]),
            selection_scores=np.full(count, np.nan),
            verdicts=[None] * count,
            info=BankInfo(**info),
        )

    return build


@pytest.fixture(scope="session")
def demo_model() -> str:
    """The bundled model, as OpenCLIP is asked for it."""
    return f"local-dir:{REPOSITORY / 'pipelines' / 'demo' / 'model'}"


VISION = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
ARCHITECTURES: dict[str, dict] = {
    "clip": {"text_cfg": TEXT},
    "custom text": {"text_cfg": TEXT, "custom_text": True},
    "end of text by id": {"text_cfg": {**TEXT, "pool_type": "eos", "eos_id": 49407}, "custom_text": True},
    "not causal": {"text_cfg": {**TEXT, "no_causal_mask": True}},
    "last token": {"text_cfg": {**TEXT, "no_causal_mask": True, "pool_type": "last"}, "custom_text": True},
    "coca": {
        "text_cfg": {**TEXT, "context_length": 76, "embed_cls": True, "output_tokens": True},
        "vision_cfg": {**VISION, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "multimodal_cfg": {**TEXT, "context_length": 76, "layers": 1},
        "custom_text": True,
    },
    "resnet": {
        "text_cfg": TEXT,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
    },
    "layer scale": {"text_cfg": TEXT, "vision_cfg": {**VISION, "layers": 2, "ls_init_value": 0.3}},
    "custom block": {"text_cfg": TEXT, "vision_cfg": {**VISION, "block_type": "custom", "scale_attn": True}},
    "average of places": {"text_cfg": TEXT, "vision_cfg": {**VISION, "pool_type": "avg", "final_ln_after_pool": True}},
}


def write_model(directory: Path, architecture: str, seed: int = 0) -> str:
    """A tiny model with random weights in OpenCLIP's folder format; returns its name."""
    config = {"embed_dim": 24, "vision_cfg": VISION, **ARCHITECTURES[architecture]}
    arguments = copy.deepcopy({key: value for key, value in config.items() if key != "custom_text"})
    custom = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = (custom if config.get("custom_text") else open_clip.CLIP)(**arguments)
    directory.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(weights, directory / "open_clip_model.safetensors")
    described = {"model_cfg": config, "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}}
    (directory / "open_clip_config.json").write_text(json.dumps(described))
    return f"local-dir:{directory}"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The name of a tiny model by its architecture and seed, written once."""
    return functools.cache(
        lambda architecture="clip", seed=0: write_model(
            tmp_path_factory.mktemp("model") / architecture.replace(" ", "-"), architecture, seed
        )
    )
