"""Tables of a scan directory as `verify` reads them: what is wrong with one is said, not raised."""

import pyarrow as pa

from pipelines.errors import first_line
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.scan_directory.layout import FINGERPRINT_KEY, read_table
from pipelines.storage import Directory


def table_and_problems(output: Directory, name: str, fingerprint: str) -> tuple[pa.Table | None, list[str]]:
    """A table, None if it cannot be read, and what is wrong with it. `fingerprint`: of the scan that it must be of."""
    try:
        table = read_table(output, name)
    except FileNotFoundError:
        return None, [f"{name} is missing"]
    except DAMAGE as error:
        return None, [f"{name} cannot be read: {first_line(error)}"]
    if (table.schema.metadata or {}).get(FINGERPRINT_KEY, b"").decode() != fingerprint:
        return table, [f"{name} carries the fingerprint of another scan"]
    return table, []
