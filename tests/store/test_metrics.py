"""Metrics in the database: what did not change keeps its time."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from math import isnan
from typing import Any

import pytest

from vlmprobe.analysis import Metric
from vlmprobe.store import metrics as store
from vlmprobe.store.metrics import (
    MetricsUpdate,
    StoredMetric,
    mark_metrics_synced,
    read_metrics,
    store_metrics,
)
from vlmprobe.store.rows import fetch

NAN = float("nan")
ONE = Metric("axis_coherence", 1, "all", "distance", 5, 0.25, 0.5, 10, 0.125, 0.375, None, 0)
TWO = replace(ONE, layer=6, value=0.5)
FIRST, SECOND, SYNCED = datetime(2026, 1, 1), datetime(2026, 1, 2), datetime(2026, 1, 3)  # noqa: DTZ001


@pytest.fixture
def store_at(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Store metrics at a given time, and say when MLflow saw them."""

    def run(when: datetime, *metrics: Metric, synced: datetime | None = None) -> MetricsUpdate:
        monkeypatch.setattr(store, "utc_now", lambda: when)
        with database.transaction() as connection:
            update = store_metrics(connection, "r1", metrics)
            if synced:
                mark_metrics_synced(connection, "r1", synced)
            return update

    return run


def _stored(database: Any, *names: str) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        rows = fetch(
            connection, f"SELECT {', '.join(names)} FROM metrics WHERE run_id = 'r1' ORDER BY layer, target"
        )
    return [tuple(row.values()) for row in rows]


def test_an_unchanged_metric_keeps_its_time(database: Any, store_at: Any) -> None:
    """Computing the same again changes nothing, so MLflow is up to date still."""
    assert store_at(FIRST, ONE, TWO, synced=SYNCED) == MetricsUpdate(2, 0, 0, outdated=False)
    assert store_at(SECOND, ONE, TWO) == MetricsUpdate(0, 0, 2, outdated=False)
    assert _stored(database, "layer", "computed_at", "synced_at") == [(5, FIRST, SYNCED), (6, FIRST, SYNCED)]


def test_a_changed_value_gets_a_new_time_and_is_to_be_logged(database: Any, store_at: Any) -> None:
    """The other ones are left as they are."""
    store_at(FIRST, ONE, TWO, synced=SYNCED)
    assert store_at(SECOND, ONE, replace(TWO, value=0.75)) == MetricsUpdate(0, 1, 1, outdated=True)
    assert _stored(database, "layer", "value", "computed_at", "synced_at") == [
        (5, 0.25, FIRST, SYNCED),
        (6, 0.75, SECOND, None),
    ]


def test_a_changed_interval_of_the_same_value_keeps_the_time(database: Any, store_at: Any) -> None:
    """MLflow shows the value alone: with another time it would draw the same point twice."""
    store_at(FIRST, ONE, synced=SYNCED)
    assert store_at(SECOND, replace(ONE, ci_low=0.2, seed=1)) == MetricsUpdate(0, 1, 0, outdated=False)
    assert _stored(database, "ci_low", "seed", "computed_at", "synced_at") == [(0.2, 1, FIRST, SYNCED)]


def test_what_is_not_computed_any_more_is_removed(database: Any, store_at: Any) -> None:
    """Another layer list leaves no row of the old one; a new metric is added."""
    store_at(FIRST, ONE, TWO, synced=SYNCED)
    other = replace(ONE, layer=7)
    assert store_at(SECOND, ONE, other) == MetricsUpdate(1, 1, 1, outdated=True)
    assert _stored(database, "layer") == [(5,), (7,)]


def test_values_that_mlflow_never_saw_outdate_nothing(store_at: Any) -> None:
    """Changed or removed before the first sync, or without a value then."""
    nothing = replace(TWO, value=NAN)
    store_at(FIRST, ONE, nothing)
    assert not store_at(SECOND, replace(ONE, value=0.1), nothing, synced=SYNCED).outdated
    assert not store_at(SECOND, replace(ONE, value=0.1), TWO).outdated
    store_at(SECOND, nothing, synced=SYNCED)
    assert not store_at(SECOND).outdated


def test_a_value_that_is_gone_outdates_what_mlflow_shows(store_at: Any) -> None:
    """A number that became no data cannot stay on the chart."""
    store_at(FIRST, ONE, synced=SYNCED)
    assert store_at(SECOND, replace(ONE, value=NAN)).outdated


def test_no_data_is_null_and_equals_itself(database: Any, store_at: Any) -> None:
    """NaN and infinite values are NULL; computing them again is no change."""
    empty = replace(ONE, value=NAN, std=NAN, n=0, ci_low=-float("inf"), ci_high=float("inf"), p_value=NAN)
    store_at(FIRST, empty)
    assert store_at(SECOND, empty) == MetricsUpdate(0, 0, 1, outdated=False)
    columns = ("value", "std", "n", "ci_low", "ci_high", "p_value", "seed", "computed_at")
    assert _stored(database, *columns) == [(None, None, 0, None, None, None, 0, FIRST)]


def test_a_stored_metric_is_the_metric_with_its_times(database: Any, store_at: Any) -> None:
    """What analysis computed, to the last digit; no data is NaN again."""
    store_at(FIRST, ONE, replace(TWO, value=NAN, std=None), synced=SYNCED)
    with database.transaction() as connection:
        first, second = read_metrics(connection, "r1")
    assert first == StoredMetric(**asdict(ONE), computed_at=FIRST, synced_at=SYNCED)
    assert isnan(second.value)
    assert second.std is None


def test_runs_do_not_see_each_other(database: Any, store_at: Any) -> None:
    """Storing one run's metrics removes none of another's."""
    store_at(FIRST, ONE)
    with database.transaction() as connection:
        store_metrics(connection, "r2", [TWO])
        store_metrics(connection, "r2", [])
    assert _stored(database, "layer") == [(5,)]


def test_thousands_of_metrics_are_replaced_in_seconds(database: Any, store_at: Any) -> None:
    """36 layers, two subsets and some thirty targets of a real run."""
    many = [replace(ONE, layer=layer, target=f"t{t}") for layer in range(36) for t in range(40)]
    store_at(FIRST, *many)
    update = store_at(SECOND, *(replace(metric, value=-1.0) for metric in many))
    assert update == MetricsUpdate(0, 1440, 0, outdated=False)
    assert _stored(database, "value", "computed_at") == [(-1.0, SECOND)] * 1440


def test_only_what_was_sent_is_marked_as_sent(database: Any, store_at: Any) -> None:
    """Another process may compute values between reading and marking: nobody has sent those."""
    store_at(FIRST, ONE)
    store_at(SECOND, ONE, TWO)
    with database.transaction() as connection:
        mark_metrics_synced(connection, "r1", SYNCED, until=FIRST)
    assert _stored(database, "layer", "synced_at") == [(5, SYNCED), (6, None)]


def test_how_an_interval_came_is_stored_and_compared(database: Any, store_at: Any) -> None:
    """A method or a reason that changed is a change, of a value that keeps its time."""
    known = replace(ONE, n_images=8, method="jackknife", p_layers=0.5)
    missing = replace(TWO, value=NAN, ci_low=NAN, ci_high=NAN, reason="too few", p_layers=NAN)
    store_at(FIRST, known, missing)
    assert store_at(SECOND, known, missing) == MetricsUpdate(0, 0, 2, outdated=False)
    assert store_at(SECOND, known, replace(missing, reason="no axis")) == MetricsUpdate(
        0, 1, 1, outdated=False
    )
    assert _stored(database, "n_images", "method", "reason", "p_layers", "computed_at") == [
        (8, "jackknife", None, 0.5, FIRST),
        (None, None, "no axis", None, FIRST),
    ]
    with database.transaction() as connection:
        assert read_metrics(connection, "r1")[0] == StoredMetric(
            **asdict(known), computed_at=FIRST, synced_at=None
        )


@pytest.mark.parametrize(
    "changes", [{"n_images": 9}, {"method": "bootstrap"}, {"reason": "?"}, {"p_layers": 0.01}]
)
def test_a_digest_notices_each_added_column(database: Any, store_at: Any, changes: dict[str, Any]) -> None:
    """Rows of earlier versions, which have none of them, keep their digest."""
    store_at(FIRST, ONE)
    with database.transaction() as connection:
        store.store_digest(connection, "r1")
        assert store.digest_matches(connection, "r1")
    store_at(FIRST, replace(ONE, **changes))
    with database.transaction() as connection:
        assert not store.digest_matches(connection, "r1")
