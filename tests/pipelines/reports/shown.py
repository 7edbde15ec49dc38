"""What the commands that show something of a scan print and refuse, and ways to spoil what they read."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.commands.app import app
from pipelines.config.model import Model
from pipelines.config.scan import Scan
from pipelines.errors import CallerError


@dataclass(frozen=True)
class Showing:
    """`oodscan <what> show`."""

    what: str

    def printed(self, *arguments: str | Path) -> str:
        ended = CliRunner().invoke(app, [self.what, "show", *map(str, arguments)], catch_exceptions=False)
        assert ended.exit_code == 0
        return ended.stdout

    def said_of(self, *arguments: str | Path) -> dict[str, Any]:
        return json.loads(self.printed(*arguments, "--json"))

    def refusal(self, *arguments: str | Path) -> str:
        with pytest.raises(CallerError) as refused:
            self.printed(*arguments)
        assert "\n" not in str(refused.value)
        return str(refused.value)


def configured(root: Path, **chosen: Any) -> Scan:
    """A scan of `data` by the label bank `bank` to `out`."""
    read: Any = {"images_per_shard": 3}
    return Scan(
        input=(str(root / "data"),), labels=str(root / "bank"), output=str(root / "out"), read=read,
        model=Model(name="bundled"), **chosen,
    )  # fmt: skip


def gone_bank(directory: Path) -> None:
    (directory / "labels.parquet").unlink()


def bad_bank(directory: Path) -> None:
    (directory / "labels.parquet").write_bytes(b"PAR1")


def cut(content: bytes) -> bytes:
    return content[:-20]


def rewritten(change: Callable[[pa.Table], pa.Table]) -> Callable[[bytes], bytes]:
    def apply(content: bytes) -> bytes:
        buffer = io.BytesIO()
        pq.write_table(change(pq.read_table(io.BytesIO(content))), buffer)
        return buffer.getvalue()

    return apply
