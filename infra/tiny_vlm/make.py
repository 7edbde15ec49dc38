"""A vision-language model of 0.6 M random parameters that vLLM and Transformers load as any other: Qwen2-VL's
architecture, and the tokenizer of the tiny chat model with Qwen's marks of a picture.

It knows nothing, but answers always the same, and says yes to some pictures and no to others.

python -m infra.tiny_vlm.make --output DIR
"""

import argparse
from pathlib import Path
from typing import Any

from infra.tiny_llm.make import LONGEST, START, make_tokenizer

MODEL_SEED = 0
VISION_START, VISION_END, IMAGE, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WIDTH, ROTARY = 64, (4, 6, 6)
"""Of a token's vector, and of the parts of a head that turn with time, height and width; heads of 32 run on CPUs."""
LEAST_PIXELS, MOST_PIXELS = 56 * 56, 224 * 224
"""What pictures are scaled to; the largest one has 64 tokens."""


def make_tiny_vlm(directory: Path, model_seed: int = MODEL_SEED) -> Path:
    """Writes the model and its processor into the directory; the same seed gives the same weights."""
    import torch
    from transformers import Qwen2VLForConditionalGeneration  # pyright: ignore[reportMissingImports]

    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [START, VISION_START, VISION_END, IMAGE, VIDEO]})
    tokenizer.chat_template = CHAT_TEMPLATE
    with torch.random.fork_rng():
        torch.manual_seed(model_seed)
        model = Qwen2VLForConditionalGeneration(_config(tokenizer))
    model.save_pretrained(directory)
    _processor(tokenizer).save_pretrained(directory)
    return directory


def _config(tokenizer: Any) -> Any:
    from transformers import Qwen2VLConfig  # pyright: ignore[reportMissingImports]

    text = {
        "vocab_size": -(-len(tokenizer) // 64) * 64,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": LONGEST,
        "rope_scaling": {"type": "mrope", "rope_type": "default", "mrope_section": list(ROTARY)},
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(ROTARY)},
        "initializer_range": 0.1,  # five times the usual: answers of more than a hair's breadth
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"depth": 2, "embed_dim": WIDTH, "hidden_size": WIDTH, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
    marks = {"image": IMAGE, "video": VIDEO, "vision_start": VISION_START, "vision_end": VISION_END}
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()}
    return Qwen2VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=True, initializer_range=0.1, dtype="float32", **ids
    )


def _processor(tokenizer: Any) -> Any:
    from transformers import (  # pyright: ignore[reportMissingImports]
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    return Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=LEAST_PIXELS, max_pixels=MOST_PIXELS),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )


def main() -> None:
    options_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options_of.add_argument("--output", type=Path, required=True)
    print(make_tiny_vlm(options_of.parse_args().output))


if __name__ == "__main__":
    main()
