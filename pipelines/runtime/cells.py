"""Tables as cells of other tables, for Ray. Free of Ray, so that whoever imports a worker need not wait for it."""

from collections.abc import Iterator

import pyarrow as pa


def as_cell(table: pa.Table) -> pa.Table:
    """A table of one cell, which holds the given table.

    For Ray, which brings all that comes of one task to one schema, and fails where columns of the input have one name
    and two types.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return pa.table({"table": pa.array([sink.getvalue().to_pybytes()], pa.large_binary())})


def from_cells(cells: pa.Table) -> Iterator[pa.Table]:
    """The tables that `as_cell` has made cells of."""
    for cell in cells["table"].to_pylist():
        yield pa.ipc.open_stream(cell).read_all()
