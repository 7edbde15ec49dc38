"""The verdicts that a scan is given: its own, those of `--verdicts`, and those of `--since`. Free of torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from ood_core.methods import Method, takes_verdicts
from pipelines.errors import CallerError
from pipelines.inputs.listing import SCAN_FILE
from pipelines.scan_directory.layout import KEPT_VERDICTS, read_table
from pipelines.storage import Directory, storage_errors
from pipelines.verdicts.kept import Verdicts, kept_verdicts

VERDICTS = "--verdicts"


def given_verdicts(
    urls: Sequence[str],
    output: Directory,
    since: Directory | None,
    methods: Mapping[str, Method],
    dim: int,
) -> Verdicts:
    """All verdicts that count tonight: those that the scan directory keeps, `urls`, and those of last night's scan.

    `dim`: of the label bank's embeddings. None count where no method takes them in. Raises CallerError for a URL that
    holds none, or is taken by no method, and for embeddings of another length.
    """
    if not takes_verdicts(methods):
        if urls:
            raise CallerError(f"{VERDICTS} {urls[0]!r}: no method takes it; ask for --method verdicts or consensus")
        return Verdicts.of([], dim, VERDICTS)
    found = [kept_verdicts(place, dim) for place in (since, output) if place]
    found += [_of_url(url, output.options, dim) for url in dict.fromkeys(urls)]
    for one in found:
        for other in found:
            one.check_weights(other.weights, VERDICTS)
    whole = Verdicts.of([one.table for one in found], dim, VERDICTS)
    return Verdicts(whole.table, next((one.weights for one in found if one.weights), None))


def _of_url(url: str, options: Mapping[str, Any], dim: int) -> Verdicts:
    """The verdicts of a scan directory, or of a table of them."""
    place, said = Directory(url, options), f"{VERDICTS} {url!r}"
    with storage_errors(said):
        if place.exists(SCAN_FILE) or place.names(KEPT_VERDICTS):
            found = kept_verdicts(place, dim)
            if not found:
                raise CallerError(f"{said} is a scan that keeps no verdicts: oodscan verdicts {url} --add FILE")
            return found
    if not url.endswith(".parquet"):
        raise CallerError(
            f"{said} is neither a scan directory nor a Parquet table of verdicts with embeddings; what a page of "
            "questions has saved is added to the scan that it asked about: oodscan verdicts SCAN --add FILE"
        )
    with storage_errors(said):
        directory, name = Directory.of_file(url, options)
        table = read_table(directory, name)
    return Verdicts.of([table], dim, said)
