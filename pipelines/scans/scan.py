"""The scan: from image shards to score tables. Rerun it to resume; what is committed stays as it is."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ood_core.labels import LabelBank
from ood_core.methods import Method
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.label_bank import model_of
from pipelines.memory.orders import has_sequential
from pipelines.runtime.progress import Say, quiet
from pipelines.scan_directory.layout import EMBEDDINGS
from pipelines.scans.carry_out import Start, carry_out
from pipelines.scans.request import Planned, Request

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster
    from pipelines.scans.placement import Placement


def scan(
    config: Scan,
    options: Mapping[str, Any] = MappingProxyType({}),
    *,
    address: str | None = None,
    say: Say = quiet,
    new_scan: bool = False,
    take_over: bool = False,
) -> dict[str, Any]:
    """Scores every image that is not scored yet, and returns the summary of the whole scan, as in `summary.json`.

    `options`: of remote file systems; `address`: of a Ray cluster; `new_scan`: what an earlier scan left is removed;
    `take_over`: a stale lease of another driver counts for nothing. Raises CallerError for whatever the caller has to
    mend, before anything is removed or written.
    """
    request = Request.prepare(config, options, planned_images, new_scan)
    return carry_out(request, _placed, Start(address, new_scan, take_over), say)


def planned_images(config: Scan, methods: Mapping[str, Method], bank: LabelBank, options: Mapping[str, Any]) -> Planned:
    """The images of a scan, cut into shards. Raises CallerError."""
    if has_sequential(methods):
        raise CallerError(
            "--order sequential is that of one process: scan with --embeddings, then `oodscan rescore --embeddings "
            f"{config.output.rstrip('/')}/{EMBEDDINGS} --order sequential …`"
        )
    model = model_of(config.model, bank)
    if model.name is None:
        raise CallerError(f"--model is missing, and --labels {config.labels!r} does not say which it was made with")
    return Planned(config.model_copy(update={"model": model}), plan_images(config.input, config.read, options))


def _placed(request: Request, found: "Cluster", say: Say) -> "Placement":
    from pipelines.scans.place_images import place_images

    return place_images(request, found, say)
