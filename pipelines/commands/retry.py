"""`oodscan retry`: reads again what could not be read or scored."""

from typing import Annotated

import typer

from pipelines.commands.ending import end, reported
from pipelines.commands.options import Address, AsJson, StorageOptions, say
from pipelines.config.load import parse_storage_options


def retry(
    scan: Annotated[str, typer.Argument(metavar="SCAN", help="The directory of a scan of images that has ended.")],
    dead_letters: Annotated[
        str | None, typer.Option(metavar="URI", help="Where the bytes of images that are still in error are copied to.")
    ] = None,
    address: Address = None,
    storage_options: StorageOptions = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Read again only the records in error of a scan, and put their rows in place."""
    from pipelines.scan_directory.record import ScanRecord
    from pipelines.scans.dead_letters import copy_dead_letters
    from pipelines.scans.retry import retry as read_again
    from pipelines.storage import Directory

    options = parse_storage_options(storage_options)
    found = read_again(scan, options, address=address, say=say)
    say(f"{found.mended} records were mended, in {found.tried} shards")
    directory = Directory(scan, options)
    if dead_letters:
        letters = copy_dead_letters(directory, Directory(dead_letters, options))
        say(f"{letters} images that are still in error copied to {dead_letters}")
    config = ScanRecord.read(directory).config
    end(dict(found.summary), config, reported(config, options), as_json)
