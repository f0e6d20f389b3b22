"""Tables of numbers as CSV: whole, plain, and empty where a number is missing."""

import csv
from pathlib import Path

import numpy as np
import pytest

from myoscope.core import InvalidValue, OutputError
from myoscope.io import write_columns


def test_a_table_reads_back_to_its_digits_and_what_is_missing_is_empty(tmp_path: Path) -> None:
    columns = {"slice": np.array([1, 2, 3]), "counts": np.array([1234.5678, np.nan, 0.00012345])}
    write_columns(columns, tmp_path / "t.csv", digits=4)
    assert (tmp_path / "t.csv").read_bytes() == b"slice,counts\n1,1235\n2,\n3,0.0001234\n"
    with (tmp_path / "t.csv").open() as file:
        assert [row["slice"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_columns_of_different_lengths_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="one length"):
        write_columns({"a": np.ones(2), "b": np.ones(3)}, tmp_path / "t.csv", digits=4)
    with pytest.raises(InvalidValue, match="one length"):
        write_columns({}, tmp_path / "t.csv", digits=4)
    with pytest.raises(OutputError):
        write_columns({"a": np.ones(2)}, tmp_path / "no" / "t.csv", digits=4)
    assert list(tmp_path.iterdir()) == []
