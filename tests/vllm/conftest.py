"""What needs vLLM is collected where it is installed only; `make test-vllm` fails if nothing is."""

import importlib.util
from pathlib import Path

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("vllm") else ["test_*.py"]


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model of random weights, which answers some questions with yes and some with no."""
    from infra.tiny_llm.make import make_tiny_llm

    return make_tiny_llm(tmp_path_factory.mktemp("tiny_llm"))


@pytest.fixture(scope="session")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision-language model of random weights, which answers yes to some pictures and no to others."""
    from infra.tiny_vlm.make import make_tiny_vlm

    return make_tiny_vlm(tmp_path_factory.mktemp("tiny_vlm"))
