"""How numbers are printed."""

from __future__ import annotations

import math

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmprobe.reports.numbers import full, p_value, rounded, significant_decimals


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


@pytest.mark.parametrize(
    ("half_width", "decimals"),
    [
        (0.038, 3),
        (0.0996, 2),
        (0.38, 2),
        (9.96, 0),
        (250.0, 0),
        (0.00001, 6),
        (0.0, 2),
        (None, 2),
        (math.nan, 2),
    ],
)
def test_an_interval_allows_two_significant_digits_of_its_half_width(half_width, decimals):
    """0.0996 has the digits of 0.10; without an interval nothing is known, and two decimals are few."""
    assert significant_decimals(half_width) == decimals


def test_a_p_value_is_never_printed_as_zero():
    """It is small, and n/a where there was no test."""
    assert [p_value(each) for each in (0.25, 0.00004, 0.0, None)] == ["0.2500", "< 0.0001", "< 0.0001", "n/a"]
