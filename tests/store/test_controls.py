"""Controls are rows like any other, and nothing shows them among real runs unless it is asked to."""

from __future__ import annotations

from typing import Any

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.store.comparison import judged_pairs
from vlmprobe.store.earlier_runs import other_checkpoint
from vlmprobe.store.identity import utc_now
from vlmprobe.store.listed_runs import list_runs
from vlmprobe.store.queries import list_queries, load_query
from vlmprobe.store.rows import fetch_column, insert_rows
from vlmprobe.store.runs import RunPlan, complete_runs, controls_of, open_run, run_name
from vlmprobe.store.schema import Certificate, MetricRow

EVERY = {
    "control_accuracy",
    "every_answer_share",
    "every_computed_answer_count",
    "every_computed_pair_answer",
    "every_computed_run_count",
    "every_pair_answer",
    "every_run_count",
}
#: Queries that are about one run, whose id the asker gives.
OF_ONE_RUN = {"runs/pairs", "runs/predictions"}


@pytest.fixture
def controlled(study: Any) -> Any:
    """Make a real run and a control that serves it, with answers, numbers and certificates of both."""
    study.pairs({"1": "left", "2": "above", "3": "far"})
    study.run("real", status="complete")
    study.run("blind", status="complete", control="grey", serves="real", fingerprint="other")
    for run_id in ("real", "blind"):
        # What the two checkers disagree on, so that the query about it has rows to show.
        study.answers(run_id, {"1": (True, True), "2": (True, False), "3": (False, True)})
    with study.database.transaction() as connection:
        for run_id in ("real", "blind"):
            metric = {
                "run_id": run_id, "name": "axis_coherence", "version": 1, "subset": "all", "target": "vertical",
                "layer": 3, "value": 0.5, "n": 3, "computed_at": utc_now(),
            }  # fmt: skip
            certificate = {
                "run_id": run_id, "batch": 0, "reason": "first", "n_questions": 6, "dtype": "float32",
                "layers_counted": 1, "answers_compared": 6, "answers_equal": 6, "passed": True, "action": "kept",
                "created_at": utc_now(),
            }  # fmt: skip
            insert_rows(connection, MetricRow, [metric])
            insert_rows(connection, Certificate, [certificate])
            connection.exec_driver_sql(
                "UPDATE predictions SET correct_words = NOT correct WHERE run_id = ?", (run_id,)
            )
    return study


def test_no_view_shows_a_control_but_those_that_are_named_for_it(controlled: Any) -> None:
    """Whoever asks accuracy of all runs averages no blind one in."""
    views = controlled.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY view_name")
    names = {name for (name,) in views}
    assert names > EVERY
    for name in names:
        found = {run_id for (run_id,) in controlled.rows(f"SELECT DISTINCT run_id FROM {name}")}
        expected = {"control_accuracy": {"blind"}}.get(name, {"real", "blind"} if name in EVERY else {"real"})
        if name != "accuracy_by_perspective":
            assert found == expected, name
        assert "blind" not in found or name in EVERY


def test_no_shipped_query_shows_a_control_unless_its_id_is_given(controlled: Any) -> None:
    """Each is run with the defaults that it has; those that compare two runs refuse a control."""
    seen = set()
    with controlled.database.transaction() as connection:
        for query in list_queries():
            required = {each.name for each in query.parameters if each.default is None}
            if query.name.startswith("checks/") or query.compared or query.compared_scales:
                continue
            if query.name in OF_ONE_RUN:
                continue
            assert not required, query.name
            rows = query.table(connection)
            run_ids = {row["run_id"] for row in rows if "run_id" in row}
            assert "blind" not in run_ids, query.name
            seen |= {query.name} if "real" in run_ids else set()
    assert {
        "runs/listed",
        "merge/scales",
        "merge/certificates",
        "accuracy/checkers_disagree",
        "runs/metrics",
    } <= seen


def test_two_runs_are_not_compared_if_one_is_a_control(controlled: Any) -> None:
    """A query over two run ids would call a blind run a checkpoint."""
    asked = {"from_run": "real", "to_run": "blind"}
    with controlled.database.transaction() as connection, pytest.raises(UsageError, match="no run 'blind'"):
        load_query("merge/changes").arrow(connection, asked)


def test_lists_of_runs_leave_controls_out_unless_asked(controlled: Any) -> None:
    """The store's own readers; a control's answers are read by its id."""
    with controlled.database.transaction() as connection:
        assert [run.run_id for run in list_runs(connection)] == ["real"]
        listed = list_runs(connection, controls=True)
        assert {run.run_id: (run.control, run.serves) for run in listed} == {
            "real": (None, None),
            "blind": ("grey", "real"),
        }
        assert [run.run_id for run in complete_runs(connection)] == ["real"]
        assert {run.run_id for run in complete_runs(connection, controls=True)} == {"real", "blind"}
        (control,) = controls_of(connection, ["real"])
        assert control.name == "tiny @ 80k [grey]"
        assert len(judged_pairs(connection, "blind")) == 3


def test_a_control_does_not_stand_for_its_scale(controlled: Any) -> None:
    """Random weights have another fingerprint; a real run of the scale's checkpoint is still no other checkpoint."""
    plan = RunPlan(
        "key", "data", "published", "tiny", "80k", "somewhere", "other", None, None, "float32", "cpu"
    )
    with controlled.database.transaction() as connection:
        # Only the control has the fingerprint ``other``, and no real run has one: nothing to hold it against.
        assert other_checkpoint(connection, plan) is None
        run, existed = open_run(connection, plan, new=False)
        assert (run.control, run.serves, existed) == (None, None, False)


def test_a_check_finds_controls_of_no_run(controlled: Any) -> None:
    """The run that it serves is gone, is a control itself, or was asked about something else."""
    assert "checks/controls_serve_runs" not in controlled.broken_checks()
    controlled.run("orphan", status="complete", control="grey", serves="nobody")
    controlled.run("second", status="complete", control="grey", serves="blind")
    with controlled.database.transaction() as connection:
        broken = load_query("checks/controls_serve_runs").table(connection)
        assert sorted(row["run_id"] for row in broken) == ["orphan", "second"]
        assert fetch_column(connection, "SELECT count(*) FROM accuracy WHERE run_id = 'orphan'") == [0]


def test_a_control_is_named_by_its_kind() -> None:
    """In progress bars, MLflow and messages."""
    assert run_name("tiny", "2m", "yes-no", "grey") == "tiny @ 2m (yes-no) [grey]"
    assert run_name("tiny", "2m", "published") == "tiny @ 2m"
