"""Rescoring: from stored embeddings to score tables, without images. Rerun it to resume, as a scan."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ood_core.labels import LabelBank
from ood_core.methods import Method
from pipelines.config.rescore import Rescore
from pipelines.consensus.checks import check_images
from pipelines.errors import CallerError
from pipelines.inputs.embedding_plan import plan_embeddings
from pipelines.runtime.progress import Say, quiet
from pipelines.scans.carry_out import Start, carry_out
from pipelines.scans.checks import text_source
from pipelines.scans.request import Planned, Request

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster
    from pipelines.scans.placement import Placement


def rescore(
    config: Rescore,
    options: Mapping[str, Any] = MappingProxyType({}),
    *,
    address: str | None = None,
    say: Say = quiet,
    new_scan: bool = False,
    take_over: bool = False,
) -> dict[str, Any]:
    """Scores every embedding that is not scored yet, and returns the summary of the whole, as in `summary.json`.

    `options`: of remote file systems; `address`: of a Ray cluster; `new_scan`: what an earlier scan left is removed;
    `take_over`: a stale lease of another driver counts for nothing. Raises CallerError for whatever the caller has to
    mend, before anything is removed or written.
    """
    request = Request.prepare(config, options, _planned, new_scan)
    return carry_out(request, _placed, Start(address, new_scan, take_over), say)


def _planned(config: Rescore, methods: Mapping[str, Method], bank: LabelBank, options: Mapping[str, Any]) -> Planned:
    for name, chosen in methods.items():
        if chosen.needs_local_features:
            raise CallerError(f"--method {name} needs the images, not their embeddings alone; use `oodscan scan`")
    texts = text_source(config, methods, bank, options)
    planned = plan_embeddings(config.embeddings, config.read, bank.dim, options)
    check_images(methods, sum(shard.rows or 0 for shard in planned.shards))
    return Planned(config, planned, texts)


def _placed(request: Request, found: "Cluster", say: Say) -> "Placement":
    from pipelines.scans.place_embeddings import place_embeddings

    return place_embeddings(request, found, say)
