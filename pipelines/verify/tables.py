"""Tables of a scan directory as `verify` reads them: what is wrong with one is said, not raised."""

import pyarrow as pa

from pipelines.errors import first_line
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.scan_directory.layout import FINGERPRINT_KEY, table_from
from pipelines.scan_directory.receipts import digest_of
from pipelines.storage import Directory


def table_and_problems(
    output: Directory, name: str, fingerprint: str, digest: str | None = None
) -> tuple[pa.Table | None, list[str]]:
    """A table, None if it cannot be read, and what is wrong with it.

    `fingerprint`: of the scan that it must be of; `digest`: of the file as it was committed, if that is known.
    """
    try:
        content = output.read(name)
        table = table_from(content)
    except FileNotFoundError:
        return None, [f"{name} is missing"]
    except DAMAGE as error:
        return None, [f"{name} cannot be read: {first_line(error)}"]
    if (table.schema.metadata or {}).get(FINGERPRINT_KEY, b"").decode() != fingerprint:
        return table, [f"{name} carries the fingerprint of another scan"]
    changed = digest not in (None, digest_of(content))
    return table, [f"{name} is not the file that was committed"] if changed else []
