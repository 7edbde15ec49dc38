"""The list of steps for what was asked for; no Ray session is needed to make it."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ood_core.labels import LabelBank
from ood_core.preprocessing import Preprocessing
from pipelines.config.pools import EncodePool, ScorePool
from pipelines.config.scan import Scan
from pipelines.flags.asked import AskedFlags
from pipelines.inputs.plan import Plan, Shard
from pipelines.runtime.model import ModelFacts, ModelSpec
from pipelines.runtime.progress import quiet
from pipelines.scan_directory.identity import Fingerprints
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.run import Run
from pipelines.scan_directory.summary import Clock, Tally
from pipelines.scans.place_images import ImagePlacement
from pipelines.scans.request import Planned, Request
from pipelines.scans.step import Step, run_steps
from pipelines.scans.steps import steps_of
from pipelines.storage import Directory
from pipelines.verdicts.kept import Verdicts

FLAGS = AskedFlags("mcm", "folder", {}, None, 0.95, {})
ADANEG = {"consensus.base": "adaneg"}


def steps(root: Path, opened: ExitStack, *methods: str, **changes: Any) -> list[Step]:
    config = Scan(input=("data",), labels="bank", output=str(root), method=methods, **changes)
    bank = LabelBank(["a", "b"], ["noun"] * 2, 1, np.eye(2, dtype=np.float32), np.full(2, np.nan), [None] * 2)
    nothing = Verdicts.of([], bank.dim, "nothing")
    request = Request(
        Planned(config, Plan([], {})),
        {},
        config.methods(),
        bank,
        Directory(str(root)),
        None,
        None,
        FLAGS,
        None,
        nothing,
    )
    facts = ModelFacts("weights", 2, 0.01, Preprocessing((8, 8)))
    placement = ImagePlacement(request, config, ModelSpec("m"), facts, EncodePool(workers=1), ScorePool(workers=1))
    manifest = Manifest(request.output, "fingerprint")
    run = Run(request.output, Fingerprints.one("fingerprint"), [], Tally(), Clock(time.time(), {}), quiet, manifest)
    return steps_of(request, placement, run, opened)


@pytest.mark.parametrize(
    ("methods", "changes", "folders"),
    [
        (["mcm"], {}, {"encode": "scores"}),
        (["adaneg"], {"order": "streaming"}, {"encode": "scores"}),
        (["neglabel", "adaneg"], {}, {"encode": "encoded", "learn": "memory/candidates", "score": "scores"}),
        (["neglabel", "consensus"], {}, {"encode": "encoded", "consensus": "scores"}),
        (
            ["adaneg", "consensus"],
            {"param": ADANEG},
            {"encode": "encoded", "learn": "memory/candidates", "score": "scored", "consensus": "scores"},
        ),
        (
            ["adaneg", "consensus"],
            {"param": ADANEG, "order": "streaming"},
            {"encode": "encoded", "consensus": "scores"},
        ),
    ],
    ids=["static", "streaming", "learns", "consensus", "learns, consensus", "streaming, consensus"],
)
def test_the_steps_follow_from_what_was_asked_for(
    tmp_path: Path, methods: list[str], changes: dict[str, Any], folders: dict[str, str]
) -> None:
    with ExitStack() as opened:
        made = steps(tmp_path, opened, *methods, **changes)
        assert {step.name: step.folder for step in made} == folders
        for number, step in enumerate(made):
            written = {folder.partition("/")[0] for folder in list(folders.values())[:number]}
            assert set(step.needs) <= written


class NotingStep:
    """A step of no work that notes the shards it is given. `folder`: where its files are said to be."""

    needs = ()

    def __init__(self, name: str, there: set[str], also: tuple[Shard, ...] = ()) -> None:
        self.name, self.folder, self.there, self.also, self.given = name, name, there, also, list[str]()

    def reads(self, shards: Any) -> list[Shard]:
        return [shard for shard in [*shards, *self.also] if shard.id not in self.there]

    def run(self, shards: Any) -> dict[str, Any]:
        self.given = [shard.id for shard in shards]
        return {self.name: len(shards)}


def test_each_step_is_given_what_a_later_one_reads() -> None:
    a, b, c = (Shard(name, "tar", [], [], [], "") for name in "abc")
    encode, learn, score = (
        NotingStep("encode", set()),
        NotingStep("learn", set(), also=(c,)),
        NotingStep("score", {"b"}),
    )
    told = run_steps([encode, learn, score], [a, b])
    assert (encode.given, learn.given, score.given) == (["a", "c"], ["a"], ["a", "b"])
    assert (told["encode"], told["learn"], told["score"]) == (2, 1, 2)
    assert list(told["steps_s"]) == ["encode", "learn", "score"]
