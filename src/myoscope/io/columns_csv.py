"""Columns of numbers to a CSV file that spreadsheets and every statistics program open.

One line of names, units in them, then one line a row; commas, points, line feeds, UTF-8. A missing number is an empty
cell. The same columns give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.io.atomic import atomic_write


def write_columns(columns: Mapping[str, NDArray[Any]], path: Path, *, digits: int) -> None:
    """Store columns (row,) of whole or real numbers, these to so many significant digits.

    Raises
    ------
    InvalidValue
        Columns of different lengths, or none.
    OutputError
        The file cannot be written; nothing is left behind.
    """
    lengths = {column.shape for column in columns.values()}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        raise InvalidValue(f"a table has columns of one length, not of shapes {sorted(lengths)}")
    cells = [_cells(column, digits) for column in columns.values()]
    lines = [",".join(columns), *(",".join(row) for row in zip(*cells, strict=True))]
    with atomic_write(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def _cells(column: NDArray[Any], digits: int) -> list[str]:
    if column.dtype.kind in "iu":
        return [str(number) for number in column.tolist()]
    return [f"{number:.{digits}g}" if np.isfinite(number) else "" for number in column.tolist()]
