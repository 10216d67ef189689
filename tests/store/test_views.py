"""The views: rows made by hand in, numbers known beforehand out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from scipy.stats import binomtest

from vlmprobe.analysis import Metric
from vlmprobe.store.metrics import store_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Any]

Y, N = True, False


@pytest.fixture
def answered(study: Any) -> Any:
    """Six pairs of rows, one of a quad, one with one side."""
    study.pairs({"l1": "left", "l2": "left", "r1": "right", "a1": "above"})
    study.pairs({"f1": "far"}, perspective="consistent")
    study.pairs({"f2": "far", "c1": "close"}, perspective="counter")
    study.pairs({"q1/v": "above"}, origin="quad")
    study.pairs({"half": "below"})
    study.run("r1", status="complete")
    study.answers(
        "r1",
        {
            "l1": (Y, Y),
            "l2": (Y, N),
            "r1": (N, N),
            "a1": (Y, Y),
            "f1": (Y, Y),
            "f2": (N, Y),
            "c1": (N, N),
            "q1/v": (N, N),
            "half": (Y,),
        },
    )
    return study


def test_accuracy_has_one_row_per_axis_and_one_overall(answered: Any) -> None:
    """Pairs of quads and pairs with one side are left out; ``both`` needs both sides."""
    assert answered.rows("SELECT axis, n, acc_orig, acc_swap, acc_both FROM accuracy ORDER BY axis") == [
        ("distance", 3, 1 / 3, 2 / 3, 1 / 3),
        ("horizontal", 3, 2 / 3, 1 / 3, 1 / 3),
        ("overall", 7, 4 / 7, 4 / 7, 3 / 7),
        ("vertical", 1, 1.0, 1.0, 1.0),
    ]


def test_views_carry_what_names_a_run(answered: Any) -> None:
    """Nobody needs a join to know which scale a number is about."""
    columns = "run_id, family, scale, dataset, template, status, samples_seen"
    named = ("r1", "tiny", "80k", "bench", "published", "complete", 80000)
    for view in ("accuracy", "accuracy_by_category", "accuracy_by_perspective", "pair_answers"):
        assert answered.rows(f"SELECT DISTINCT {columns} FROM {view}") == [named]


def test_a_category_is_reliable_when_each_side_is_right_half_of_the_time(answered: Any) -> None:
    """One half is enough; less on either side is not."""
    assert answered.rows(
        "SELECT category, n, acc_orig, acc_swap, reliable FROM accuracy_by_category ORDER BY category"
    ) == [
        ("above", 1, 1.0, 1.0, True),
        ("close", 1, 0.0, 0.0, False),
        ("far", 2, 0.5, 1.0, True),
        ("left", 2, 1.0, 0.5, True),
        ("right", 1, 0.0, 0.0, False),
    ]


def test_perspective_is_counted_over_distance_pairs(answered: Any) -> None:
    """Pairs whose perspective is not known are in no row."""
    assert answered.rows(
        "SELECT perspective, n, acc_orig, acc_swap, acc_both FROM accuracy_by_perspective ORDER BY perspective"
    ) == [("consistent", 1, 1.0, 1.0, 1.0), ("counter", 2, 0.0, 0.5, 0.0)]


def test_a_pair_of_another_template_is_no_answer_to_this_one(answered: Any) -> None:
    """Two templates of a dataset share their pair ids."""
    answered.run("r2", template="as-written")
    answered.answers("r2", {"l1": (Y, Y)})
    assert answered.rows("SELECT count(*) FROM accuracy WHERE run_id = 'r2'") == [(0,)]


def test_bounds_are_wilsons(study: Any) -> None:
    """They equal SciPy's 95 % Wilson interval, and stay within 0 and 1 where none or all is right."""
    study.pairs({f"p{i}": "left" for i in range(200)})
    counts = {"r1": (0, 1, 1), "r2": (7, 0, 7), "r3": (3, 5, 7), "r4": (150, 1, 200)}
    for run_id, (k_orig, k_swap, n) in counts.items():
        study.run(run_id)
        study.answers(run_id, {f"p{i}": (i < k_orig, i < k_swap) for i in range(n)})
    for run_id, (k_orig, k_swap, n) in counts.items():
        for side, k in {"orig": k_orig, "swap": k_swap, "both": min(k_orig, k_swap)}.items():
            ((low, high),) = study.rows(
                f"SELECT acc_{side}_low, acc_{side}_high FROM accuracy WHERE run_id = $id AND axis = 'overall'",
                id=run_id,
            )
            expected = binomtest(k, n).proportion_ci(method="wilson")
            assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
            assert 0 <= low <= high <= 1


def test_consistency_shows_every_metric_with_its_interval(study: Any) -> None:
    """No data is NULL there."""
    study.run("r1")
    metrics = [
        Metric("axis_coherence", 1, "all", "distance", 5, 0.25, 0.5, 10, 0.125, 0.375, None, 0),
        Metric("axis_coherence", 1, "both_correct", "distance", 5, float("nan"), None, 0),
    ]
    with study.database.transaction() as connection:
        store_metrics(connection, "r1", metrics)
    assert study.rows(
        "SELECT scale, metric, subset, target, layer, value, std, n, ci_low, ci_high FROM consistency ORDER BY subset"
    ) == [
        ("80k", "axis_coherence", "all", "distance", 5, 0.25, 0.5, 10, 0.125, 0.375),
        ("80k", "axis_coherence", "both_correct", "distance", 5, None, None, 0, None, None),
    ]


def test_duckdb_alone_gives_the_same_numbers(answered: Any) -> None:
    """Someone with nothing but the DuckDB shell can ask which scale gets distance right."""
    sql = "SELECT * FROM accuracy ORDER BY axis"
    ours = answered.rows(sql)
    with duckdb.connect(str(answered.database.path), read_only=True) as shell:
        assert shell.execute(sql).fetchall() == ours
        asked = "SELECT scale, acc_both FROM accuracy WHERE axis = 'distance' ORDER BY acc_both DESC"
        assert shell.execute(asked).fetchall() == [("80k", 1 / 3)]
