"""What two names stand for: runs, scales, trainings; and which of them cannot be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.store.identity import utc_now
from vlmprobe.store.rows import insert_rows
from vlmprobe.store.runs import RunPlan, open_run, set_status
from vlmprobe.store.schema import DatasetRow
from vlmprobe.study.subjects import common_trainings, scales_of, two_subjects
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

PLAN = RunPlan("key", "d" * 16, "published", "tiny", "80k", "folder", "abc", 80_000, None, "float32", "cpu")
LATER = replace(PLAN, scale="2m", samples_seen=2_000_000)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Make a home with two datasets and no run."""
    workspace = Workspace.open(tmp_path / "home")
    workspace.settings.home.mkdir()
    workspace.create_database()
    facts = {"path": "bench.tsv", "form": "embspatial", "n_rows": 1, "options": {}, "created_at": utc_now()}
    rows = [facts | {"dataset_id": name * 16, "name": f"bench-{name}"} for name in "de"]
    with workspace.database.transaction() as connection:
        insert_rows(connection, DatasetRow, rows)
    return workspace


def complete(workspace: Workspace, plan: RunPlan, status: str = "complete") -> str:
    """Make a run of a plan under a key of its own; return its id."""
    with workspace.database.transaction() as connection:
        key = f"{plan.family} {plan.scale} {plan.training} {plan.dataset_id} {plan.template}"
        run, _ = open_run(connection, replace(plan, run_key=key), new=True)
        set_status(connection, run.run_id, status)
    return run.run_id


def ids_of(subject):
    """Return label -> run id."""
    return {label: run.run_id for label, run in subject.trainings.items()}


def test_a_run_is_named_by_scale_by_family_and_scale_or_by_id(workspace: Workspace) -> None:
    """Of several runs of a scale the newest; by its id also an older one."""
    old, new, later = (complete(workspace, plan) for plan in (PLAN, PLAN, LATER))
    for first, second in (("80k", "2m"), ("tiny@80k", "tiny @ 2m"), (new, later[-12:])):
        pair = two_subjects(workspace, first, second)
        assert [ids_of(each) for each in pair] == [{"": new}, {"": later}]
        assert [each.name for each in pair] == ["80k", "2m"]
    assert ids_of(two_subjects(workspace, old, "2m")[0]) == {"": old}
    names = [each.name for each in two_subjects(workspace, old, new)]
    assert names == [f"80k ({old[-8:]})", f"80k ({new[-8:]})"]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            "80k",
            "3m",
            r"^no complete run, scale or family@scale is called '3m'; there are: tiny@80k, tiny@2m",
        ),
        ("80k", "80k", r"^80k and 80k are the same run"),
        ("80k", "other@2m", r"is called 'other@2m'"),
    ],
)
def test_a_name_that_is_none_is_an_error_that_lists_what_there_is(
    workspace: Workspace, first: str, second: str, message: str
) -> None:
    """One line, and what to choose from."""
    complete(workspace, PLAN)
    complete(workspace, LATER)
    with pytest.raises(UsageError, match=message):
        two_subjects(workspace, first, second)


def test_runs_on_different_datasets_are_refused(workspace: Workspace) -> None:
    """Their pairs are not the same; the message names both datasets."""
    complete(workspace, PLAN)
    other = complete(workspace, replace(LATER, dataset_id="e" * 16))
    with pytest.raises(UsageError, match=r"bench-d \(d{12}, published\) and .* bench-e \(e{12}, published\)"):
        two_subjects(workspace, "80k", other)
    with pytest.raises(UsageError, match="their pairs cannot be compared"):
        two_subjects(workspace, "80k", "2m")


def test_runs_under_different_templates_are_refused(workspace: Workspace) -> None:
    """A run id may name one of another template; the two questions are not the same."""
    complete(workspace, PLAN)
    other = complete(workspace, replace(LATER, template="yes-no"))
    with pytest.raises(
        UsageError, match=r"published\) and tiny @ 2m \(yes-no\) on .*yes-no\), so their pairs"
    ):
        two_subjects(workspace, "80k", other)


def test_two_common_datasets_ask_for_a_choice(workspace: Workspace) -> None:
    """Nothing is compared by chance."""
    for dataset in "de":
        for plan in (PLAN, LATER):
            complete(workspace, replace(plan, dataset_id=dataset * 16))
    with pytest.raises(UsageError, match="choose one with --data FILE or NAME"):
        two_subjects(workspace, "80k", "2m")


def test_an_unfinished_run_is_not_compared(workspace: Workspace) -> None:
    """Its id is known, so the message says what is the matter."""
    complete(workspace, PLAN)
    unfinished = complete(workspace, LATER, "interrupted")
    with pytest.raises(UsageError, match=f"run {unfinished} is interrupted"):
        two_subjects(workspace, "80k", unfinished)


def test_a_scale_has_the_trainings_of_equally_many_samples_that_a_label_tells_apart(
    workspace: Workspace,
) -> None:
    """``training`` in the catalog makes one scale of them; a run id still means that run alone."""
    plain = [complete(workspace, plan) for plan in (PLAN, LATER)]
    labeled = [
        complete(workspace, replace(plan, scale=f"{plan.scale}-b", training="b")) for plan in (PLAN, LATER)
    ]
    complete(workspace, replace(LATER, scale="no-label-of-its-own"))
    complete(workspace, replace(LATER, scale="later-c", training="c"))
    pair = two_subjects(workspace, "80k", "2m")
    assert ids_of(pair[0]) == {"": plain[0], "b": labeled[0]}
    assert set(ids_of(pair[1])) == {"", "b", "c"}
    assert common_trainings(pair) == ("", "b")
    assert ids_of(two_subjects(workspace, plain[0], "2m")[0]) == {"": plain[0]}
    scales = scales_of(workspace, "tiny")
    assert [each.name for each in scales] == ["80k", "2m", "no-label-of-its-own"]
    assert ids_of(scales[0]) == ids_of(pair[0])


def test_scales_without_a_common_training_are_refused(workspace: Workspace) -> None:
    """A mean over different trainings would compare trainings, not scales."""
    for plan, labels in ((PLAN, "ab"), (LATER, "cd")):
        for label in labels:
            complete(workspace, replace(plan, scale=f"{plan.scale}-{label}", training=label))
    pair = two_subjects(workspace, "80k-a", "2m-c")
    with pytest.raises(UsageError, match=r"no training is common to all scales \(80k-a: a, b; 2m-c: c, d\)"):
        common_trainings(pair)


def test_a_label_may_be_given_later(workspace: Workspace) -> None:
    """No number depends on it: the run stays, and gets it."""
    run_id = complete(workspace, PLAN)
    with workspace.database.transaction() as connection:
        key = f"{PLAN.family} {PLAN.scale} {PLAN.training} {PLAN.dataset_id} {PLAN.template}"
        run, existed = open_run(connection, replace(PLAN, run_key=key, training="b"), new=False)
    assert (run.run_id, run.training, existed) == (run_id, "b", True)
    with workspace.database.transaction() as connection:
        run, _ = open_run(connection, replace(PLAN, run_key=key), new=False)
    assert run.training == "b"


def test_over_scales_leaves_out_what_has_no_amount_of_training(workspace: Workspace) -> None:
    """And needs two that have one."""
    complete(workspace, PLAN)
    complete(workspace, replace(LATER, scale="mine", samples_seen=None))
    with pytest.raises(UsageError, match="needs two scales of tiny with known training; there are: 80k"):
        scales_of(workspace, "tiny")
