"""A study of many runs: what is asked of the database at once is what each run alone would say."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import pytest

from vlmprobe.analysis import Metric, catalog
from vlmprobe.reports import ChangeRow
from vlmprobe.store import answers_of_runs, metrics_of_runs
from vlmprobe.store.metrics import read_metrics
from vlmprobe.store.queries import load_query
from vlmprobe.study.matrix import _spread
from vlmprobe.study.selection import Selection
from vlmprobe.study.study import Study
from vlmprobe.workspace import Workspace

from ..postgres_server import named_by_environment


@pytest.fixture(scope="module")
def workspace(study):
    """Open the demo's home of several scales."""
    with named_by_environment(study.home):
        return Workspace.open(study.home)


@pytest.fixture(scope="module")
def runs(workspace):
    """Return the newest run of each scale."""
    return Selection().newest(workspace, "published").runs


def parts_of(study):
    """Return what a report shows of a study."""
    curves = [study.curves(*kind) for kind in sorted(study._series)]
    return (
        study.accuracy, study.categories, study.peaks, study.facts, study.layer_ranges, study.unnamed,
        study.disagreements, repr(curves),
    )  # fmt: skip


@pytest.mark.full
def test_a_part_of_a_study_is_the_study_of_that_part(workspace, runs, monkeypatch):
    """Also where each query aggregates the answers of one run."""
    whole = Study(workspace.database, runs)
    monkeypatch.setattr(answers_of_runs, "_ANSWERS", 1)

    for run in runs:
        alone = Study(workspace.database, [run])
        mine = whole.part([run])
        mine.unnamed = {run.run_id: whole.unnamed[run.run_id]}
        assert parts_of(mine) == parts_of(alone)


@pytest.mark.full
@pytest.mark.parametrize("answers", [1, 10**9])
def test_changes_of_a_sequence_are_those_of_its_neighbors(workspace, runs, answers, monkeypatch):
    """The rows of query ``merge/changes`` for each two, whatever one query takes."""
    monkeypatch.setattr(answers_of_runs, "_ANSWERS", answers)
    query = load_query("merge/changes")
    with workspace.database.transaction() as connection:
        expected = [
            (place, row.axis, row.n, row.gained, row.lost)
            for place, (before, later) in enumerate(pairwise(runs), start=1)
            for row in query.rows(
                ChangeRow,
                connection,
                {"from_run": before.run_id, "to_run": later.run_id},
                family="",
                from_scale="",
                to_scale="",
            )
        ]
        found = answers_of_runs.changes_in_sequence(connection, [run.run_id for run in runs])

    assert [(each.place, each.axis, each.n, each.gained, each.lost) for each in found] == expected


@pytest.mark.full
def test_metrics_of_several_runs_are_those_of_each(workspace, runs):
    """Numbers of whole runs and of one layer of each; the last layer; the layers with a test."""
    ids = [run.run_id for run in runs]
    layer_of = {run_id: place + 1 for place, run_id in enumerate(ids)}
    names = [catalog.AXIS_COHERENCE_BALANCED.name, catalog.AXIS_TEST.name]
    with workspace.database.transaction() as connection:
        of_runs = {run_id: read_metrics(connection, run_id) for run_id in ids}
        found = metrics_of_runs.read_metrics_at(connection, layer_of, names, "all")
        last = metrics_of_runs.last_layers(connection, ids, "all")
        tested = metrics_of_runs.n_tested_layers(connection, ids, names[0], "all")

    for run_id, rows in of_runs.items():
        mine = [row for row in rows if row.subset == "all"]
        expected = [row for row in mine if row.name in names and row.layer in (-1, layer_of[run_id])]
        assert sorted(map(repr, map(plain, found[run_id]))) == sorted(map(repr, map(plain, expected)))
        assert last[run_id] == max(row.layer for row in mine)
        for axis in ("horizontal", "vertical", "distance"):
            with_p = [r for r in mine if (r.name, r.target) == (names[0], axis) and r.p_value is not None]
            assert tested.get((run_id, axis), 0) == len(with_p)


def plain(metric):
    """Return a metric without its run."""
    return Metric(**{field.name: getattr(metric, field.name) for field in fields(Metric)})


def test_a_matrix_of_many_scales_has_nine_of_them():
    """The first and the last are among them; of nine or fewer all are."""
    assert _spread(list(range(9))) == list(range(9))
    assert _spread(list(range(100))) == [0, 12, 25, 37, 50, 62, 74, 87, 99]
