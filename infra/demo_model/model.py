"""The demo model: OpenCLIP's own CLIP class with a small ResNet and a small text tower."""

from copy import deepcopy

from open_clip.model import CLIP

from infra.demo_model.augment import MEAN, STD
from infra.demo_model.texts import CONTEXT

PIXELS = 64
VOCABULARY = 49408
CONFIG = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": PIXELS,
            "timm_model_name": "resnet10t",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
        },
        "text_cfg": {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 128, "heads": 4, "layers": 2},
    },
    "preprocess_cfg": {
        "size": PIXELS,
        "mode": "RGB",
        "mean": list(MEAN),
        "std": list(STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}


def build(vocabulary: int = VOCABULARY, drop: float = 0.0) -> CLIP:
    """The model with random weights; while training, only the tokens that occur have rows."""
    config = deepcopy(CONFIG["model_cfg"])
    config["text_cfg"]["vocab_size"] = vocabulary
    config["vision_cfg"]["timm_drop"] = drop
    return CLIP(**config)
