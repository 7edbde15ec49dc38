"""Tables of a scan, as `verify` reads them: what is wrong with one is said, not raised."""

import pyarrow as pa

from pipelines.errors import first_line
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.scan_directory.layout import FINGERPRINT_KEY, table_of
from pipelines.storage import Directory


def checked(output: Directory, name: str, expected: str) -> tuple[pa.Table | None, list[str]]:
    """The table, if it can be read, and what is wrong with it. `expected`: the scan's fingerprint."""
    try:
        table = table_of(output.read(name))
    except FileNotFoundError:
        return None, [f"{name} is missing"]
    except DAMAGE as error:
        return None, [f"{name} cannot be read: {first_line(error)}"]
    if (table.schema.metadata or {}).get(FINGERPRINT_KEY, b"").decode() != expected:
        return table, [f"{name} carries the fingerprint of another scan"]
    return table, []
