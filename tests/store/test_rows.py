"""Rows in by Arrow, out as dataclasses, or as they are for a table."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import IntegrityError

from vlmprobe.store.rows import chunked, fetch, fetch_as, fetch_column, fill_nulls, insert_rows, none_if_nan
from vlmprobe.store.schema import MetricRow, Prediction, ResultJson, Shard

if TYPE_CHECKING:
    from vlmprobe.store.duckdb_store import DuckDBStore

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678000)  # noqa: DTZ001 - UTC without a zone, as stored
ANSWER: dict[str, Any] = {"run_id": "r1", "pair_id": "1", "side": "orig", "correct": True, "checker": "words"}


def test_every_type_comes_back_as_it_went_in(database: DuckDBStore) -> None:
    """Text, whole numbers past 32 bits, true and false, times, lists and NULL."""
    shard = {
        "run_id": "ünï",
        "shard": 1,
        "kind": "states",
        "path": "a b.safetensors",
        "artifact_uri": None,
        "sha256": "0" * 64,
        "n_bytes": 5_000_000_000,
        "n_pairs": 256,
        "layers": [0, 5, 27],
        "dim": 2048,
        "dtype": "bfloat16",
        "created_at": WHEN,
        "synced_at": None,
        "host": None,
    }
    with database.transaction() as connection:
        assert insert_rows(connection, Shard, [shard]) == 1
        assert insert_rows(connection, Prediction, [{**ANSWER, "correct": False, "margin": -0.1}]) == 1
        (stored,) = fetch(connection, "SELECT * FROM shards")
        (answer,) = fetch(connection, "SELECT * FROM predictions")
    assert json.loads(stored.pop("layers")) == shard.pop("layers")
    assert stored == shard
    assert (answer["correct"], answer["margin"], answer["text"]) == (False, -0.1, None)


@dataclass(frozen=True)
class Place:
    """Some columns, and a field that is none."""

    number: int
    path: Path
    layers: tuple[int, ...]
    options: dict[str, Any]
    value: float
    error: float | None
    run: str


def test_a_row_becomes_a_dataclass(database: DuckDBStore) -> None:
    """Columns find their fields by name, or by the one they are given; what has no field is left out."""
    sql = """SELECT $n AS shard, 'a/b' AS path, '[0, 5]' AS layers, '{"x": 1}' AS options, 0.5 AS more,
        CAST(0.5 AS DOUBLE) AS value, CAST(0.25 AS DOUBLE) AS error"""
    with database.transaction() as connection:
        (place,) = fetch_as(Place, connection, sql, {"n": 3}, renamed={"shard": "number"}, run="r1")
    assert place == Place(3, Path("a/b"), (0, 5), {"x": 1}, 0.5, 0.25, "r1")


def test_no_data_is_nan_where_a_number_is_expected(database: DuckDBStore) -> None:
    """None where the field allows it, and nothing in an object that is not there."""
    sql = "SELECT 1 AS number, '' AS path, '[]' AS layers, NULL AS options, NULL AS value, NULL AS error"
    with database.transaction() as connection:
        (place,) = fetch_as(Place, connection, sql, run="r1")
    assert math.isnan(place.value)
    assert (place.error, place.options, place.layers) == (None, {}, ())


def test_one_column_comes_as_its_values(database: DuckDBStore) -> None:
    """In the order of the rows."""
    with database.transaction() as connection:
        assert fetch_column(connection, "SELECT unnest($n) AS n", {"n": [3, 1, 2]}) == [3, 1, 2]


def test_nulls_are_filled_and_the_rest_is_left_alone(database: DuckDBStore) -> None:
    """A value that is there stays; so do columns that are not named, rows that are not given, and unknown keys."""
    there = [{**ANSWER, "text": "left"}, {**ANSWER, "pair_id": "2"}, {**ANSWER, "pair_id": "3"}]
    more = [
        {**ANSWER, "text": "right", "margin": 0.5, "parsed": "left"},
        {**ANSWER, "pair_id": "2", "text": "above", "margin": None},
        {**ANSWER, "pair_id": "4", "text": "far"},
    ]
    with database.transaction() as connection:
        insert_rows(connection, Prediction, there)
        fill_nulls(connection, Prediction, ["text", "margin"], more)
        rows = fetch(connection, "SELECT pair_id, text, margin, parsed FROM predictions ORDER BY pair_id")
    assert [tuple(row.values()) for row in rows] == [
        ("1", "left", 0.5, None),
        ("2", "above", None, None),
        ("3", None, None, None),
    ]


def test_json_is_json_to_sql(database: DuckDBStore) -> None:
    """Someone with only SQL can look into it."""
    row = {"run_id": "r1", "name": "pca", "version": 1, "subset": "all", "layer": 3, "computed_at": WHEN}
    with database.transaction() as connection:
        insert_rows(connection, ResultJson, [{**row, "value": {"explained": [0.5, 0.25], "why": 'ß "x"'}}])
        rows = fetch(
            connection, "SELECT value->'explained'->>1 AS second, value->>'why' AS why FROM results_json"
        )
    assert rows == [{"second": "0.25", "why": 'ß "x"'}]


def test_a_row_whose_key_is_there_is_left_alone(database: DuckDBStore) -> None:
    """In the table or twice in one call: the first one stays, and only new rows are counted."""
    with database.transaction() as connection:
        assert (
            insert_rows(connection, Prediction, [ANSWER | {"text": "left"}, ANSWER | {"text": "right"}]) == 1
        )
        more = [ANSWER | {"text": "up"}, ANSWER | {"side": "swap"}]
        assert insert_rows(connection, Prediction, more) == 1
        assert fetch(connection, "SELECT side, text FROM predictions ORDER BY side") == [
            {"side": "orig", "text": "left"},
            {"side": "swap", "text": None},
        ]


def test_no_rows_are_no_statement(database: DuckDBStore) -> None:
    """An empty list is fine."""
    with database.transaction() as connection:
        assert insert_rows(connection, Prediction, []) == 0


def test_a_missing_value_that_must_be_there_is_an_error(database: DuckDBStore) -> None:
    """The column is named, nothing is written, and the next transaction works."""
    with (
        pytest.raises(IntegrityError, match=r"NOT NULL constraint failed: predictions.correct"),
        database.transaction() as connection,
    ):
        insert_rows(connection, Prediction, [ANSWER, ANSWER | {"side": "swap", "correct": None}])
    with database.transaction() as connection:
        assert fetch(connection, "SELECT * FROM predictions") == []


def test_a_query_takes_named_parameters(database: DuckDBStore) -> None:
    """NULL and lists among them, empty ones too; nothing in them is read as SQL."""
    with database.transaction() as connection:
        sql = "SELECT $text AS a, $nothing IS NULL AS b, list_contains($names, 'x') AS c, len($none) AS d, $yes AS e"
        given = {"text": "'; DROP TABLE runs", "nothing": None, "names": ["x"], "none": [], "yes": True}
        assert fetch(connection, sql, given) == [
            {"a": "'; DROP TABLE runs", "b": True, "c": True, "d": 0, "e": True}
        ]


@pytest.mark.parametrize(
    "value",
    [
        "''",
        "it's",
        "\\",
        "\\'",
        "$text",
        "a;\nb -- c /* d",
        "E'\\n'",
        "zero\0byte",
        "\N{GREEK SMALL LETTER ALPHA}",
        "",
    ],
)
def test_a_text_comes_back_letter_for_letter(database: DuckDBStore, value: str) -> None:
    """Quotes, backslashes and comments among them, alone and in a list."""
    with database.transaction() as connection:
        assert fetch(connection, "SELECT $text AS a, $texts AS b", {"text": value, "texts": [value]}) == [
            {"a": value, "b": [value]}
        ]


@pytest.mark.parametrize("value", [-3, 2**62, 0.5, float("inf"), WHEN])
def test_numbers_and_times_are_parameters_too(database: DuckDBStore, value: object) -> None:
    """They come back as what they were."""
    with database.transaction() as connection:
        assert fetch(connection, "SELECT $value AS a", {"value": value}) == [{"a": value}]


def test_a_query_with_parameters_leaves_pandas_alone(tmp_path: Path) -> None:
    """DuckDB would import it to look at a bound value; that takes longer than a figure."""
    code = """
import sys
from pathlib import Path
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.rows import fetch
with DuckDBStore(Path(sys.argv[1])).transaction() as connection:
    assert fetch(connection, "SELECT $a AS a, $b AS b", {"a": "x", "b": ["y"]})
sys.exit("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.duckdb")], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (0.0, 0.0),
        (-1.5, -1.5),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        (-float("inf"), None),
    ],
)
def test_no_data_is_null(value: float | None, stored: float | None) -> None:
    """NaN, infinite and None are NULL, so that an average in SQL skips them; 0 is 0."""
    assert none_if_nan(value) == stored


def test_a_sql_average_skips_what_is_no_data(database: DuckDBStore) -> None:
    """Which it would not, were NaN stored as NaN."""
    row = {
        "run_id": "r1",
        "name": "m",
        "version": 1,
        "subset": "all",
        "target": "t",
        "n": 1,
        "computed_at": WHEN,
    }
    rows = [
        row | {"layer": layer, "value": none_if_nan(v)} for layer, v in enumerate([1.0, float("nan"), 2.0])
    ]
    with database.transaction() as connection:
        insert_rows(connection, MetricRow, rows)
        assert fetch(connection, "SELECT avg(value) AS mean FROM metrics") == [{"mean": 1.5}]


def test_chunks_hold_everything_once() -> None:
    """The last one may be shorter."""
    assert list(chunked([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
