"""Long columns of a folder, such as the loss of each iteration of each training, as one table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from odebench.errors import RecordError
from odebench.records import RecordFault, ResultFolder, read_series

_DTYPES = {
    pa.float64(): pd.Float64Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
}


def load_series(folder: str | Path) -> pd.DataFrame:
    """All series of a result folder as one long table: `cell_id`, `machine_id`, then every column that any cell gave.

    Rows are in the order of the series, such as that of the iterations, one cell after the other; a column that a cell did not give is
    null there. `cell_id` and `machine_id` find the figures of the cell in the table of `odebench.load`. A folder without series gives no
    rows. Files that are broken are left out, and `frame.attrs["faults"]` lists them, each with its reason.

    Raises:
        RecordError: the folder does not exist.
    """
    results = ResultFolder(folder)
    if not results.path.is_dir():
        raise RecordError(
            f"{folder}: is no folder. Give the folder that `odebench run` wrote, such as results/quickstart."
        )
    found = read_series(results)
    tables = _alike([one for one in found if not isinstance(one, RecordFault)])
    identity = pa.table({"cell_id": pa.array([], pa.string()), "machine_id": pa.array([], pa.string())})
    joined = pa.concat_tables([identity, *tables], promote_options="permissive")
    frame = joined.to_pandas(types_mapper=_DTYPES.get)
    frame.attrs["faults"] = [f"{one.file}: {one.reason}" for one in found if isinstance(one, RecordFault)]
    return frame


def _alike(tables: list[pa.Table]) -> list[pa.Table]:
    """The tables with columns that can be joined: one that holds texts in some and numbers or flags in others becomes texts."""
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for column in table.schema:
            kinds.setdefault(column.name, set()).add(column.type)
    mixed = {name for name, types in kinds.items() if len(types) > 1 and types != {pa.int64(), pa.float64()}}
    return [
        table.cast(pa.schema([f if f.name not in mixed else pa.field(f.name, pa.string()) for f in table.schema]))
        if mixed & set(table.column_names)
        else table
        for table in tables
    ]
