"""A chat model of 0.3 M random parameters that vLLM and Transformers load as any other: Qwen2's architecture, a
byte-pair tokenizer trained on our own questions about WordNet's nouns, and Qwen's chat template.

It knows nothing, but answers always the same, and says yes to three of five questions. Speeds and plumbing are measured
with it: a question is about as many tokens as with a real tokenizer.

python -m infra.tiny_llm.make --output DIR
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ood_core.negfilter import questions
from ood_core.vocabulary import NOUN_FILES, wordnet_corpus

SEED = 0
MODEL_SEED = 13
"""Of forty, the one whose yes and no are most evenly spread over questions of both kinds."""
END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENS, LONGEST = 4096, 4096


def make_tiny_llm(directory: Path, model_seed: int = MODEL_SEED) -> Path:
    """Writes the model and its tokenizer into the directory; the same seed gives the same weights."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM  # pyright: ignore[reportMissingImports]

    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(directory)
    config = Qwen2Config(
        vocab_size=TOKENS,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=LONGEST,
        initializer_range=0.1,  # five times the usual: answers of more than a hair's breadth
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng():
        torch.manual_seed(model_seed)
        model = Qwen2ForCausalLM(config)
    model.save_pretrained(directory)
    return directory


def make_tokenizer() -> Any:
    """A byte-pair tokenizer of `TOKENS` tokens, trained on our own questions about WordNet's nouns."""
    from tokenizers import (  # pyright: ignore[reportMissingImports]
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast  # pyright: ignore[reportMissingImports]

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS,
        special_tokens=[END, START, STOP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=STOP,
        pad_token=END,
        additional_special_tokens=[START],
        model_max_length=LONGEST,
        chat_template=CHAT_TEMPLATE,
    )


def _texts() -> Iterator[str]:
    words = [word.text for word in wordnet_corpus(NOUN_FILES)]
    drawn = random.Random(SEED).choices(words, k=len(words))  # noqa: S311
    for word, label in zip(words, drawn, strict=True):
        yield from (questions.SYSTEM, questions.prompt(word, None), questions.prompt(word, label))
        yield "user\nassistant\nsystem\nYes No Yes. No."


def main() -> None:
    options_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options_of.add_argument("--output", type=Path, required=True)
    print(make_tiny_llm(options_of.parse_args().output))


if __name__ == "__main__":
    main()
