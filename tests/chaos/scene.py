"""A small scan that is disturbed and then left alone: how it is asked for, and what it must have left in the end."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import fsspec

from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read, Scan
from pipelines.scans.scan import scan
from pipelines.verify.verify import verify
from tests.conftest import encoded, picture, write_tar

METHODS = {"static": ("neglabel", "mcm"), "learning": ("neglabel", "adaneg", "reference", "consensus")}
PARAMETERS = {
    "static": {"neglabel.groups": 3},
    "learning": {"neglabel.groups": 3, "adaneg.gap": 0, "adaneg.memory_length": 3, "consensus.base": "adaneg"},
}
LEFT_OUT = ("manifest/", "report.html")
"""What is cut as runs go, and what only the command makes."""
RUNS_DIFFER = ("memory/candidates/", "summary.json", "scan.json")
"""What holds times and places, or what a shard offered to the memory, which depends on who came first."""


@dataclass(frozen=True)
class Scene:
    """A scan of `input` into `output` with a kind of methods; `options`: of the storage that both lie on."""

    kind: str
    input: str
    labels: Path
    output: str
    options: Mapping[str, str] = field(default_factory=dict)

    def config(self, batch_size: int) -> Scan:
        """What is asked for; the smaller the batches, the slower, as every one takes a forward pass of a block."""
        return Scan(
            input=(self.input,),
            labels=str(self.labels),
            output=self.output,
            method=METHODS[self.kind],
            param=PARAMETERS[self.kind],
            reference=(f"{self.input}/shard-0.tar",) if self.kind == "learning" else (),
            encode=EncodePool(workers=1, block=256, batch_size=batch_size),
            read=Read(images_per_shard=1),
            max_bad_fraction=0.1,
        )

    def command(self, place: Path) -> list[str]:
        """The scan as a user asks for it; its configuration goes to a file in `place`."""
        config = place / "scan.yaml"
        config.write_text(self.config(batch_size=1).model_dump_json(exclude_defaults=True))
        options = [part for name, value in self.options.items() for part in ("--storage-options", f"{name}={value}")]
        return [str(Path(sys.executable).with_name("oodscan")), "scan", str(config), *options]

    def finished(self) -> dict[str, bytes]:
        """The files of the scan once it has run undisturbed, without content where that depends on how runs went."""
        assert scan(self.config(batch_size=256), self.options)["success"]
        assert verify(self.output, self.options, tables=True).problems == []
        return {
            name: b"" if name.startswith(RUNS_DIFFER) else content
            for name, content in self.files().items()
            if not name.startswith(LEFT_OUT)
        }

    def files(self) -> dict[str, bytes]:
        """All files of the scan directory, by name."""
        files, root = fsspec.core.url_to_fs(self.output, **self.options)
        files.invalidate_cache()
        return {path.removeprefix(root).lstrip("/"): files.cat_file(path) for path in files.find(root)}


def write_input(folder: Path) -> None:
    """Tars and a folder of pictures, of which one is none."""
    (folder / "pictures").mkdir(parents=True)
    for number in range(4):
        pictures = {f"{number}-{index}.png": encoded(picture(10 * number + index)) for index in range(3)}
        write_tar(folder / f"shard-{number}.tar", pictures)
    for index in range(6):
        (folder / "pictures" / f"{index}.jpg").write_bytes(encoded(picture(100 + index), "JPEG"))
    (folder / "pictures" / "3.jpg").write_bytes(b"not a picture")
