"""How numbers are printed."""

from __future__ import annotations

import math

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmprobe.reports.numbers import full, rounded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5000"),
        (1 / 32, "0.0313"),
        (-1 / 32, "-0.0313"),
        (2 / 3, "0.6667"),
        (-0.00001, "0.0000"),
        (12345.67891, "12345.6789"),
        (math.nan, "n/a"),
        (math.inf, "n/a"),
        (None, "n/a"),
    ],
)
def test_four_decimals_with_halves_away_from_zero(value, text):
    """One of 32 is 0.0313 as in SQL, not Python's 0.0312; what is no number is n/a; zero has no sign."""
    assert rounded(value) == text


def test_every_share_of_pairs_is_printed_as_duckdb_rounds_it():
    """All k of n up to 80 pairs: the report and the query beside it show the same digits."""
    shares = sorted({k / n for n in range(1, 81) for k in range(n + 1)})
    sql = "SELECT printf('%.4f', round(x, 4)) FROM (SELECT unnest(?) AS x)"
    by_duckdb = [text for (text,) in duckdb.execute(sql, [shares]).fetchall()]

    assert [rounded(share) for share in shares] == by_duckdb


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=50, deadline=None)
def test_full_reads_back_as_the_same_float(value):
    """data-value loses nothing."""
    assert float(full(value)) == value
