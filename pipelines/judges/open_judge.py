"""Opens the judge that a configuration names. A judge's own module is imported only if it is the one."""

from collections.abc import Mapping
from typing import Any

from pipelines.config.base import Configuration
from pipelines.config.judges import Engines, Http, JudgeConfig, Replay, Vllm, WordNet
from pipelines.judges.judge import Judge


def check_fits(config: Configuration, cpus: float, gpus: float) -> None:
    """Raises CallerError if a judge, of texts or images, asks for more than a cluster of so many CPUs and GPUs has."""
    if isinstance(config, Engines):
        from pipelines.judges.vllm_pool import fit_engines

        fit_engines(config, cpus, gpus)


def open_judge(config: JudgeConfig, options: Mapping[str, Any]) -> Judge | None:
    """The configured judge; None for `none`. `options`: of remote file systems.

    Raises CallerError if what the judge needs is not there: a package, a model, a recording.
    """
    match config:
        case WordNet():
            from pipelines.judges.wordnet import WordNetJudge

            return WordNetJudge.load()
        case Replay():
            from pipelines.judges.replay import ReplayJudge

            return ReplayJudge.load(config.recorded, options)
        case Vllm():
            from pipelines.judges.vllm import VllmJudge

            return VllmJudge(config)
        case Http():
            from pipelines.judges.http import HttpJudge

            return HttpJudge(config)
    return None
