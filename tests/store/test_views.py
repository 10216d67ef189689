"""The views: rows made by hand in, numbers known beforehand out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest

from vlmprobe.analysis import Metric
from vlmprobe.analysis.inference import effective_wilson
from vlmprobe.store.metrics import store_metrics
from vlmprobe.store.perspective import PerspectiveAnswer, perspective_answers

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


#: World -> how many pairs each of its images has.
SIZES = {
    "one pair an image": [1] * 40,
    "four": [4] * 12,
    "one to four": [1, 2, 3, 4] * 8,
    "five": [1] * 5,
    "one image holds most": [30, 1, 1, 1, 1, 1],
    "four images": [3] * 4,
    "one image": [9],
}


@pytest.mark.parametrize(
    "worlds",
    [
        pytest.param(tuple(SIZES), marks=pytest.mark.full, id="all"),
        pytest.param(("one to four", "one image"), id="two"),
    ],
)
def test_bounds_are_wilsons_at_the_effective_number_of_pairs(study: Any, worlds: tuple[str, ...]) -> None:
    """They equal the library's, whatever the images hold, and stay within 0 and 1 where none or all is right."""
    draw = np.random.default_rng(1)
    for world in worlds:
        of_images = SIZES[world]
        images = [f"{world}/{place}" for place, size in enumerate(of_images) for _ in range(size)]
        names = [f"{world}/{place}" for place in range(len(images))]
        study.pairs(dict.fromkeys(names, "left"), images=dict(zip(names, images, strict=True)))
        for share in (0.0, 0.3, 1.0):
            of_image = {image: draw.beta(share + 0.01, 1.01 - share) for image in images}
            right = [share > 0 and draw.random() < (1 if share == 1 else of_image[image]) for image in images]
            run_id = f"{world} {share}"
            study.run(run_id)
            study.answers(run_id, {name: (hit, True) for name, hit in zip(names, right, strict=True)})
            expected = effective_wilson(right, images)
            ((n, n_images, value, low, high),) = study.rows(
                "SELECT n, n_images, acc_orig, acc_orig_low, acc_orig_high FROM accuracy "
                "WHERE run_id = $id AND axis = 'horizontal'",
                id=run_id,
            )
            assert (n, n_images) == (len(images), len(of_images))
            assert value == pytest.approx(expected.value)
            if expected.ci_low is None:
                assert (low, high) == (None, None), run_id
            else:
                assert (low, high) == pytest.approx((expected.ci_low, expected.ci_high), abs=5e-4), run_id
                assert 0 <= low <= value <= high <= 1


def test_copies_of_pairs_do_not_narrow_the_bounds(study: Any) -> None:
    """Four pairs of each image with the same answers say no more than one."""
    for copies in (1, 4):
        names = [f"{copies}/{image}/{place}" for image in range(30) for place in range(copies)]
        study.pairs(dict.fromkeys(names, "left"), images={name: name.rpartition("/")[0] for name in names})
        study.run(f"r{copies}")
        study.answers(f"r{copies}", {name: (int(name.split("/")[1]) % 3 > 0, True) for name in names})
    sql = "SELECT acc_orig_high - acc_orig_low FROM accuracy WHERE axis = 'horizontal' ORDER BY run_id"
    (one,), (four,) = study.rows(sql)
    assert four == pytest.approx(one)


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


@pytest.mark.of_a_file
def test_duckdb_alone_gives_the_same_numbers(answered: Any) -> None:
    """Someone with nothing but the DuckDB shell can ask which scale gets distance right."""
    sql = "SELECT * FROM accuracy ORDER BY axis"
    ours = answered.rows(sql)
    with duckdb.connect(str(answered.database.path), read_only=True) as shell:
        assert shell.execute(sql).fetchall() == ours
        asked = "SELECT scale, acc_both FROM accuracy WHERE axis = 'distance' ORDER BY acc_both DESC"
        assert shell.execute(asked).fetchall() == [("80k", 1 / 3)]


def test_answers_by_perspective_are_those_that_the_view_counts(answered: Any) -> None:
    """Refutes: answers of quads, of other axes, or of pairs with one side."""
    with answered.database.transaction() as connection:
        found = perspective_answers(connection, "r1")
    assert found == [
        PerspectiveAnswer("counter", "c1", orig_correct=False, both_correct=False),
        PerspectiveAnswer("consistent", "f1", orig_correct=True, both_correct=True),
        PerspectiveAnswer("counter", "f2", orig_correct=False, both_correct=False),
    ]
