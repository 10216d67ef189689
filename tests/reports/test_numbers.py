"""How numbers are printed."""

from __future__ import annotations

import math

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmprobe.reports.numbers import full, measured, p_value, rounded


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


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.675, 0.5131, 0.8037, "0.68 [0.51, 0.80]"),
        (0.9010, 0.88990, 0.90920, "0.9010 [0.8899, 0.9092]"),
        (1.0, 0.9072, 1.0, "1.000 [0.907, 1.000]"),
        (0.876, 0.828, 0.924, "0.876 [0.828, 0.924]"),
        (8.1, -20.0, 30.0, "8 [-20, 30]"),
        (30196.4, 26792.0, 33600.0, "30200 [26800, 33600]"),
        (-1115.0, -1384.0, -846.0, "-1120 [-1380, -850]"),
        # A bound of 30 lies above 0.
        (2500.0, 30.0, 4970.0, "2500 [30, 4970]"),
        # A bound of .00097 lies above 0.
        (0.1464, 0.00097, 0.2919, "0.146 [0.001, 0.292]"),
        (0.3333333, 0.3333333, 0.3333334, "0.3333 [0.3333, 0.3333]"),
        (0.30284, None, None, "0.30"),
        # 0.0996 has the digits of 0.10.
        (0.5, 0.4004, 0.5996, "0.50 [0.40, 0.60]"),
        (math.nan, None, None, "n/a"),
        (0.25, 0.1, math.inf, "0.25"),
    ],
)
def test_digits_follow_the_interval(value, low, high, text):
    """Two significant digits of its half-width, also left of the point; four decimals at most, two without."""
    assert measured(value, low, high) == text
    assert measured(value, low, high, bounds=False) == text.partition(" ")[0]


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, "1.0"), (0.0137, "0.014"), (0.01, "0.010"), (0.00001, "< 0.0001"), (None, "n/a")]
)
def test_a_p_value_is_never_zero(p, text):
    """Two significant digits; below the smallest shown it says so."""
    assert p_value(p) == text


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
