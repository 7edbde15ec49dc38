"""Three nights, as somebody lives them who audits a dataset: by commands, on the bundled model and drawings."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from typer.testing import CliRunner

from pipelines.commands.app import app
from pipelines.errors import DRIFT
from pipelines.scan_directory.layout import shard_of
from tests.conftest import DEMO
from tests.nights.drawings import SHARD, animals, drawings, write_shard

FOREIGN = 10
"""Drawings of computers in each of two shards that otherwise hold animals."""
LIMITS = "flagged=0.01,new-kind=8,broken=1"
METHODS = ("--method", "neglabel", "--method", "consensus", "--decide-by", "neglabel", "--keep-encoded")
"""One decides; by the anchors of the other, kinds are told apart."""


class Audit:
    """A folder in which one command after the other is given."""

    def __init__(self, place: Path) -> None:
        self.place, self.said = place, ""

    def command(self, *arguments: object) -> int:
        """Gives a command, whose exit code is returned; what it prints is kept in `said`."""
        ended = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
        self.said = ended.output
        return ended.exit_code

    def scan(self, given: str, output: str, *options: object) -> int:
        common = ["--labels", self.place / "bank", "--encode-workers", 1, *METHODS, *options]
        return self.command("scan", "--input", self.place / given, "--output", self.place / output, *common)

    def compare(self, before: str, after: str) -> int:
        return self.command("compare", self.place / before, self.place / after, "--fail-on", LIMITS)

    def shards_with_foreign(self, output: str) -> list[str]:
        """The scan's shards that hold foreign drawings."""
        rows = pq.read_table(self.place / output / "scores", columns=["key", "shard"]).to_pylist()
        return sorted({row["shard"] for row in rows if "foreign" in (row["key"] or "")})

    def flagged(self, output: str) -> tuple[float, float]:
        """The share of the foreign drawings that is flagged, and that of the others."""
        rows = pq.read_table(self.place / output / "scores", columns=["key", "is_ood_neglabel"]).to_pylist()
        scored = [
            (("foreign" in row["key"]), row["is_ood_neglabel"]) for row in rows if row["is_ood_neglabel"] is not None
        ]
        foreign, others = ([flag for of, flag in scored if of == which] for which in (True, False))
        return sum(foreign) / max(len(foreign), 1), sum(others) / len(others)


def write_first_night(folder: Path, pictures: Sequence[bytes]) -> None:
    for number in range(5):
        write_shard(folder / f"s{number}.tar", animals(pictures, SHARD, SHARD * number))


def write_second_night(folder: Path, pictures: Sequence[bytes]) -> None:
    """Two new shards, which hold computers too; one is replaced, one is cut in half."""
    computers = drawings("computer")
    for number in (5, 6):
        some = animals(pictures, SHARD - FOREIGN, SHARD * number)
        write_shard(folder / f"s{number}.tar", some, computers[FOREIGN * (number - 5) :][:FOREIGN])
    write_shard(folder / "s2.tar", animals(pictures, SHARD, 10 * SHARD))
    content = (folder / "s3.tar").read_bytes()
    (folder / "s3.tar").write_bytes(content[: len(content) // 2])


def test_three_nights(ray_session: None, tmp_path: Path) -> None:
    audit, pictures = Audit(tmp_path), drawings("animals")
    accepted, nightly = pictures[::2], pictures[1::2]  # no drawing is in both
    labels = ["--id-labels", DEMO / "id_labels.txt", "--model", "bundled"]
    assert audit.command("labels", "build", *labels, "--output", tmp_path / "bank") == 0
    write_shard(tmp_path / "accepted/a.tar", animals(accepted, 4 * len(accepted)))
    assert audit.scan("accepted", "belongs") == 0
    assert "cuts even where everything belongs" in audit.said

    write_first_night(tmp_path / "input", nightly)
    assert audit.scan("input", "night1", "--calibrate", tmp_path / "belongs", "--max-flagged", 0.07) == 0
    assert audit.flagged("night1")[1] <= 0.07

    write_second_night(tmp_path / "input", nightly)
    night = ["--since", tmp_path / "night1", "--max-bad-fraction", 0.02, "--max-bad-shards", 1]
    assert audit.scan("input", "night2", *night) == 0
    assert "3 shards unchanged, 2 new, 2 changed, 0 gone" in audit.said
    assert "3 shards taken over" in audit.said
    assert "(carried)" in audit.said
    foreign, others = audit.flagged("night2")
    assert foreign >= 0.5
    assert others <= 0.07

    assert audit.compare("night1", "night2") == DRIFT
    mixed = audit.shards_with_foreign("night2")
    assert [shard[:2] for shard in mixed] == ["s5", "s6"]
    risen = audit.said.partition("shards whose flagged share has risen by more than chance: 2")[2]
    assert all(shard in risen for shard in mixed)
    assert "computer" in audit.said.partition("kinds")[2], "the kind"
    broken = next(shard_of(path.name) for path in (tmp_path / "night2/scores").iterdir() if "-s3-" in path.name)
    assert f"broken: 1 of the shards, 1 or more: {broken} (1 truncated-archive)" in audit.said

    assert audit.command("export", tmp_path / "night2", "--shards", "--output", tmp_path / "clean") == 0
    night = ["--since", tmp_path / "night1", "--max-flagged", 0.02]
    assert audit.scan("clean/shards", "night3", *night) == 0
    assert audit.compare("night1", "night3") == 0
    assert audit.command("history", *(tmp_path / name for name in ("night1", "night2", "night3"))) == 0
    assert [line.split()[0] for line in audit.said.splitlines() if "night" in line][1:] == [
        "night1",
        "night2",
        "night3",
    ]
