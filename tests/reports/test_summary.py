"""The summary as CSV, and the report as Markdown."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from vlmprobe.errors import UsageError
from vlmprobe.reports import summary_rows, write_summary_csv


def read(path):
    """Return the rows of a CSV file as texts."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_floats_read_back_as_the_same_floats(tmp_path):
    """Every digit is there, also of NumPy's floats; NaN is nan and None is empty."""
    path = tmp_path / "summary.csv"
    write_summary_csv(
        [{"a": 0.1 + 0.2, "b": np.float64(1) / 3, "c": math.nan, "d": None, "e": 'comma, "quote"\nline'}],
        path,
    )

    (row,) = read(path)
    assert float(row["a"]) == 0.1 + 0.2
    assert float(row["b"]) == 1 / 3
    assert math.isnan(float(row["c"]))
    assert row["d"] == ""
    assert row["e"] == 'comma, "quote"\nline'


def test_columns_are_all_keys_in_the_order_they_are_seen(tmp_path):
    """A row that lacks a column leaves it empty."""
    path = tmp_path / "summary.csv"
    write_summary_csv([{"a": 1, "b": 2}, {"c": 3, "a": 4}], path)

    assert path.read_text(encoding="utf-8") == "a,b,c\n1,2,\n4,,3\n"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    """When a row cannot be written, the old file stays and nothing else is left behind."""

    class Unprintable:
        def __str__(self):
            raise ValueError("no text")

    path = tmp_path / "summary.csv"
    path.write_text("old\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no text"):
        write_summary_csv([{"a": Unprintable()}], path)

    assert path.read_text(encoding="utf-8") == "old\n"
    assert [file.name for file in tmp_path.iterdir()] == ["summary.csv"]


def test_no_rows_is_an_error(tmp_path):
    """An empty file would look like a result."""
    with pytest.raises(UsageError, match="no rows to write"):
        write_summary_csv([], tmp_path / "summary.csv")


def test_a_summary_row_joins_accuracy_and_peak_coherence(report):
    """One row a run and axis, with the run it comes from; no peak is None, not 0."""
    rows = {(row["scale"], row["axis"]): row for row in summary_rows(report())}

    best = rows["2m", "distance"]
    assert (best["run_id"], best["acc_both"], best["peak_layer"]) == ("run-2m", 2 / 3, 4)
    assert best["peak_coherence"] == 0.1 + 0.2
    assert (best["split_coherence"], best["split_ci_low"], best["split_ci_high"]) == (0.3, 0.25, 0.35)
    assert rows["2m", "vertical"]["peak_coherence"] is None
    assert rows["vanilla", "distance"]["peak_layer"] is None
