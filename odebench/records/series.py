"""Long columns of one cell, such as the loss of each iteration: a parquet file beside its record, which holds only figures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odebench.errors import RecordError
from odebench.records.folder import RecordFault, ResultFolder

if TYPE_CHECKING:
    import pyarrow as pa

# pyarrow and numpy are imported where they are used: a run without trainings pays for neither.

#: The schema that is written; it stands in the file's own metadata, with the cell and the machine.
SERIES_SCHEMA = 1
#: Columns that a reader adds, which no task may give.
IDENTITY = ("cell_id", "machine_id")
_METADATA = b"odebench"


def series_content(
    cell_id: str,
    machine_id: str,
    freshness: str,
    columns: Mapping[str, Sequence[Any]],
    scrub: Callable[[str], str],
) -> bytes:
    """A parquet file of `columns`, which are arrays or lists of numbers, flags or texts, equally long.

    A number that is not finite becomes null, and texts are scrubbed, as in records.

    Raises:
        RecordError: columns of unequal length, of more than one dimension, of a name that is taken, or of anything else.
    """
    import pyarrow as pa
    import pyarrow.parquet

    arrays = {name: _array(cell_id, name, values, scrub) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise _bug(cell_id, f"its columns are of unequal length: {told}")
    about = {"schema": SERIES_SCHEMA, "cell_id": cell_id, "machine_id": machine_id, "freshness": freshness}
    table = pa.table(arrays).replace_schema_metadata({_METADATA: json.dumps(about)})
    content = io.BytesIO()
    pa.parquet.write_table(table, content, compression="zstd")
    return content.getvalue()


def read_series_file(file: Path) -> pa.Table | RecordFault:
    """The columns in `file`, those of `IDENTITY` in front, or what is wrong with it."""
    import pyarrow as pa
    import pyarrow.parquet

    try:
        content = file.read_bytes()
    except OSError as error:
        return RecordFault(
            file=file, reason=f"It cannot be read ({error.strerror}): check its permissions and the disk."
        )
    try:
        table = pa.parquet.read_table(pa.BufferReader(content))
        about = json.loads((table.schema.metadata or {})[_METADATA])
        schema, cell_id, machine_id = (about[key] for key in ("schema", *IDENTITY))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        what = "is empty" if not content else f"is no series ({type(error).__name__}: {str(error).splitlines()[0]})"
        return RecordFault(
            file=file,
            reason=f"It {what}: it was cut short or edited. `odebench run --force` writes it again with its record.",
        )
    if not isinstance(schema, int) or schema > SERIES_SCHEMA:
        return RecordFault(
            file=file,
            reason=f"Its schema is {schema}, and this odebench reads up to {SERIES_SCHEMA}: install a newer odebench.",
        )
    if not file.name.startswith(f"{cell_id}.{machine_id}."):
        return RecordFault(
            file=file,
            reason=f"It holds cell {cell_id} of machine {machine_id}: it was renamed. Give it back that name, or delete it.",
        )
    for place, (name, value) in enumerate(zip(IDENTITY, (cell_id, machine_id), strict=True)):
        table = table.add_column(place, name, pa.array([value] * table.num_rows, pa.string()))
    return table


def read_series(folder: ResultFolder) -> list[pa.Table | RecordFault]:
    """Every series of a folder, in the order of the file names; a fault stands in the place of a broken one."""
    return [read_series_file(file) for file in sorted(folder.series.glob("[!.]*.parquet"))]


def _array(cell_id: str, name: str, values: Sequence[Any], scrub: Callable[[str], str]) -> pa.Array:
    """One column, cleaned; its type follows from numpy's."""
    import numpy as np
    import pyarrow as pa

    if name in IDENTITY or not name:
        raise _bug(cell_id, f"a column is called {name!r}, which is taken")
    found = np.asarray(values)
    if found.ndim != 1:
        raise _bug(cell_id, f"column {name!r} has the shape {found.shape}, and a series has one dimension")
    if found.dtype.kind == "O":
        found = _plain(cell_id, name, found.tolist())
    if isinstance(found, np.ndarray):
        kind = found.dtype.kind
        if kind == "f":
            found = found.astype(np.float64, copy=False)
            return pa.array(found, mask=~np.isfinite(found))
        if kind in "bi" or (kind == "u" and found.dtype.itemsize < 8):
            return pa.array(found if kind == "b" else found.astype(np.int64))
        if kind != "U":
            raise _bug(cell_id, f"column {name!r} is of {found.dtype}, and a series holds numbers, flags and texts")
        found = found.tolist()
    return pa.array([None if text is None else scrub(text) for text in found], pa.string())


def _plain(cell_id: str, name: str, values: list[Any]) -> Any:
    """A list with gaps, whose type numpy does not tell: numbers as an array with nan for the gaps, or texts."""
    import numpy as np

    present = [value for value in values if value is not None]
    if not present:
        return np.full(len(values), np.nan)
    if all(isinstance(value, str) for value in present):
        return values
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    strange = next(type(value).__name__ for value in present if not isinstance(value, int | float))
    raise _bug(cell_id, f"column {name!r} holds a {strange} among others, and a series holds numbers, flags or texts")


def _bug(cell_id: str, what: str) -> RecordError:
    return RecordError(f"the series of cell {cell_id}: {what}. This is a bug of the task that gave it.")
