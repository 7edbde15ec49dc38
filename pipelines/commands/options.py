"""Options that several commands share, and how results are printed."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from pipelines.errors import CallerError

StorageOptions = Annotated[
    list[str],
    typer.Option(
        metavar="NAME=VALUE",
        help="Passed to the remote file system (fsspec), e.g. endpoint_url=http://host:9000. Never recorded.",
    ),
]
Format = Annotated[str | None, typer.Option("--format", help="text (default), markdown or json.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Address = Annotated[str | None, typer.Option(help="A running Ray cluster; default: RAY_ADDRESS, or one started here.")]
Model = Annotated[
    str | None, typer.Option(help="OpenCLIP model: a name, hf-hub:…, local-dir:…, or `bundled` (knows drawings only).")
]
Pretrained = Annotated[str | None, typer.Option(help="OpenCLIP pretrained tag or weights file, with a model name.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="auto, float32, bfloat16 or float16. auto: bfloat16 on GPUs, and on CPUs that compute in it if the "
        "embeddings stay as they are; else float32, as for label banks on every CPU."
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile", help="The image tower by torch.compile; default: on GPUs, if it compiles there."
    ),
]
MixedProcessors = Annotated[
    bool | None,
    typer.Option(
        "--mixed-processors",
        help="Let nodes of several kinds take part: last bits of scores then depend on who computed them.",
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(metavar="N or MIN-MAX", help="Size of the pool of encoders; default: one a GPU, else one a CPU."),
]
ScoreWorkers = Annotated[
    str | None, typer.Option(metavar="N or MIN-MAX", help="Workers; default: one a GPU, else one a CPU.")
]
TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over", help="Go on where another driver has left off without a word: waits until its lease is stale."
    ),
]
WaitS = Annotated[float | None, typer.Option(help="Seconds to wait for a cluster that has no room yet; default 600.")]

Order = Annotated[
    str | None,
    typer.Option(help="Of methods that learn: transductive (default), streaming; rescore: sequential too."),
]
Method = Annotated[
    list[str],
    typer.Option(
        help="A method's name; may be given several times. Default: neglabel and max-cos, with --reference also "
        "reference and consensus."
    ),
]
Reference = Annotated[
    list[str],
    typer.Option(
        metavar="URI",
        help="Images known to belong: a scan with embeddings, tables of embeddings, or images (scan only).",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="SCAN", help="Last night's scan: what has not changed is taken over, and its thresholds."),
]
Verdicts = Annotated[
    list[str],
    typer.Option(
        metavar="URI", help="What was said of images: scans that keep verdicts, or tables of them with embeddings."
    ),
]
KeepEncoded = Annotated[
    bool | None,
    typer.Option("--keep-encoded", help="Keep encoded rows for --since, where methods look at the whole input."),
]
Threshold = Annotated[
    list[str],
    typer.Option(metavar="METHOD=VALUE", help="Flag the images that score below it; may be given for each method."),
]
Calibrate = Annotated[
    str | None,
    typer.Option(metavar="SCAN", help="A scan of images that belong: thresholds are those that keep most of them."),
]
Keep = Annotated[float | None, typer.Option(help="The share of --calibrate to keep; default 0.95.")]
DecideBy = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD", help="Whose flags decide; default: consensus, else verdicts, else reference, else the first."
    ),
]
GroupBy = Annotated[
    str | None, typer.Option(help="What to count images by: folder (default), or a column of the score tables.")
]
MaxFlagged = Annotated[
    float | None, typer.Option(help="Exit 5 when a larger share of the images is flagged by the deciding method.")
]
MemoryUri = Annotated[
    str | None, typer.Option("--memory", metavar="URI", help="An earlier scan, whose memory this one begins with.")
]
FreezeMemory = Annotated[
    bool | None, typer.Option("--freeze-memory", help="Score against the memory of --memory and learn nothing more.")
]
MemoryShards = Annotated[int | None, typer.Option(help="Actors that share the memory's rows; default 1.")]
MaxStaleness = Annotated[
    int | None, typer.Option(help="Batches that a worker may score without news in streaming order; default 8.")
]


def say(line: str) -> None:
    """Prints a line for the caller to standard error, so that standard output holds the result alone."""
    typer.echo(line, err=True)


def given_of(**values: Any) -> dict[str, Any]:
    """The options that were given at all, by name."""
    return {name: value for name, value in values.items() if value is not None and value != {}}


def as_lines(values: dict[str, Any]) -> str:
    """The values as text, one a line behind its name."""
    width = max(map(len, values))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in values.items())


def parse_format(name: str | None, as_json: bool, formats: Sequence[str]) -> str:
    """The format to print, one of `formats`, the first by default; `--json` is short for `--format json`.

    Raises CallerError for a format that is unknown, or that contradicts `--json`.
    """
    if name is not None and name not in formats:
        raise CallerError(f"--format {name!r} is unknown; the formats are {', '.join(formats)}")
    if as_json and name not in (None, "json"):
        raise CallerError(f"--format {name!r} and --json contradict each other; give one of them")
    return "json" if as_json else name or formats[0]
