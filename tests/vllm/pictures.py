"""Questions about pictures, and what `vllm.LLM` itself says to them."""

from pathlib import Path

import pyarrow as pa

from ood_core.decoding.thumbnail import clean_picture
from ood_core.image_questions import image_questions, prompt
from tests.conftest import encoded, picture

LABELS = ("dog", "guitar", "city")


def asked(pictures: int, start: int = 0) -> pa.Table:
    """Whether each of so many pictures shows one of the labels."""
    sizes = [(300, 225), (120, 500), (40, 40)]
    files = [encoded(picture(seed, sizes[seed % 3])) for seed in range(start, start + pictures)]
    return image_questions((clean_picture(file), LABELS) for file in files)


def said_directly(model: Path, table: pa.Table) -> list[tuple[str, float, str]]:
    """Answer, probability of yes and description of each question, by prompts in the model's own marks."""
    import ray

    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    remote = ray.remote(max_calls=1)(generated).options(num_cpus=0.5, runtime_env={"env_vars": environment})
    return ray.get(remote.remote(str(model), table["image"].to_pylist()))


def generated(model: str, images: list[bytes]) -> list[tuple[str, float, str]]:
    import io
    import math

    from PIL import Image
    from vllm import LLM, SamplingParams  # pyright: ignore

    llm = LLM(model=model, dtype="float32", max_model_len=1024, enforce_eager=True, enable_prefix_caching=False)
    yes, no = (llm.get_tokenizer().convert_tokens_to_ids(word) for word in ("Yes", "No"))

    def said(question: str, sampling: SamplingParams) -> list:
        text = f"<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{question}<|im_end|>\n"
        prompts = [
            {
                "prompt": f"{text}<|im_start|>assistant\n",
                "multi_modal_data": {"image": Image.open(io.BytesIO(image)).convert("RGB")},
            }
            for image in images
        ]
        return [output.outputs[0] for output in llm.generate(prompts, sampling, use_tqdm=False)]

    scored = SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=[yes, no], logprobs=2)
    shown = [output.logprobs[0] for output in said(prompt(LABELS), scored)]
    odds = [(math.exp(each[yes].logprob), math.exp(each[no].logprob)) for each in shown]
    words = [output.text for output in said(prompt(None), SamplingParams(max_tokens=32, temperature=0))]
    return [
        ("yes" if up > down else "no", up / (up + down), text) for (up, down), text in zip(odds, words, strict=True)
    ]
