"""What submitting says, and what it leaves out, without a cluster."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.store.units import Unit, add_units
from vlmprobe.workspace import Workspace

from ..left_behind import read_rows
from ..postgres_server import keeps_a_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..command_line import Shell


@pytest.fixture
def submitting(tmp_path: Path) -> Path:
    """Return a home that has a file."""
    return keeps_a_file(tmp_path / "home")


def test_programs_read_a_row_a_unit(inside: Shell, submitting: Path, benchmark: Callable[..., Path]) -> None:
    """With ``--json``: submission, number and command; the report is where whoever submits will look for it."""
    scales = ("--scale", "vanilla", "--scale", "2m")
    ran = inside(
        *("run", "tiny", "--data", benchmark(4), *scales, "--engine", "print", "--json"), "--home", submitting
    ).ok()
    rows = json.loads(ran.out)
    noted = read_rows(submitting, "SELECT submission, number, name FROM units ORDER BY number")
    assert [(row["submission"], row["unit"], row["name"]) for row in rows] == noted
    name = noted[0][0]
    assert all(f"-m vlmprobe unit {name} {row['unit']}" in row["command"] for row in rows)
    (after,) = (line for line in ran.err.splitlines() if line.startswith("when all have ended: "))
    (report,) = (line for line in ran.err.splitlines() if line.startswith("report "))
    folder = shlex.split(after)[shlex.split(after).index("--out") + 1]
    assert folder.startswith(f"{submitting}/reports/tiny-")
    assert report == f"report      {folder}/report.html, once all units have ended"


@pytest.mark.full
def test_a_run_on_another_kind_of_device_is_not_complete_already(
    inside: Shell, submitting: Path, benchmark: Callable[..., Path], mlflow_store: dict[str, str]
) -> None:
    """On a GPU it is another run; on the CPU that it has, nothing is left to do."""
    command: tuple[Any, ...] = ("run", "tiny", "--data", benchmark(4), "--scale", "2m", "--batch-size", 8)
    inside(*command, "--home", submitting, **mlflow_store).ok()
    look = (*command, "--engine", "slurm", "--print", "--home", submitting)
    for device in ("auto", "cpu"):
        there = inside(*look, "--device", device, **mlflow_store).ok()
        assert "complete already: tiny @ 2m" in there.err
        assert there.out == ""
    for more in (("--device", "cuda:0"), ("--devices", "0,1")):
        assert "#SBATCH --array=0" in inside(*look, *more, **mlflow_store).ok().out


@pytest.mark.full
def test_templates_and_controls_are_units(
    inside: Shell,
    shell: Shell,
    submitting: Path,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
) -> None:
    """A unit asks all templates of its scale; another one what the scale's run is held against."""
    where = ("--home", submitting)
    selected = ("tiny", "--data", benchmark(4), "--scale", "2m", "--batch-size", 8, "--engine", "print")

    def work_off(*command: object) -> None:
        submitted = inside(*command, *where, **mlflow_store).ok()
        (words,) = map(shlex.split, submitted.out.splitlines())
        shell(*words[3:], **mlflow_store).ok()

    work_off("run", *selected, "--templates", "published,yes-no")
    again = shell("run", *selected, "--templates", "published,yes-no", *where, **mlflow_store).ok()
    assert "complete already: tiny @ 2m" in again.err
    work_off("control", *selected, "--kinds", "grey,other-image:0")
    runs = "SELECT template, control, status FROM runs ORDER BY template, control NULLS FIRST"
    assert read_rows(submitting, runs) == [
        ("published", None, "complete"),
        ("published", "grey", "complete"),
        ("published", "other-image:0", "complete"),
        ("yes-no", None, "complete"),
    ]
    found = read_rows(submitting, "SELECT name, state, error FROM units ORDER BY submitted_at")
    assert found == [("tiny @ 2m", "done", None), ("tiny @ 2m, controls", "done", None)]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--parts", 2), "--parts cannot be used with control"),
        (("--new",), "--new cannot be used with control --engine"),
        ((), "the database has no runs yet"),
    ],
)
def test_controls_that_cannot_be_units_are_refused(
    inside: Shell, submitting: Path, benchmark: Callable[..., Path], more: tuple[object, ...], says: str
) -> None:
    """One line, before anything is noted."""
    data = benchmark(4)
    inside("run", "tiny", "--data", data, "--scale", "2m", "--engine", "print", "--home", submitting).ok()
    ran = inside("control", "tiny", "--data", data, "--engine", "print", *more, "--home", submitting)
    assert (ran.code, len(ran.errors)) == (2, 1)
    assert says in ran.errors[0]
    assert read_rows(submitting, "SELECT count(*) FROM units") == [(1,)]


def test_a_job_that_slurm_does_not_cancel_is_named(
    inside: Shell, submitting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its units are cancelled all the same, and the user hears what scancel said."""
    scancel = tmp_path / "bin" / "scancel"
    scancel.parent.mkdir()
    scancel.write_text('#!/bin/sh\necho "scancel: error: slurmctld does not answer" >&2\nexit 1\n')
    scancel.chmod(0o755)
    monkeypatch.setenv("PATH", str(scancel.parent), prepend=":")
    workspace = Workspace.open(submitting)
    workspace.create_database()
    unit = Unit(
        "s", 0, "tiny @ 2m", "slurm", (("db", "current"),), str(tmp_path), "tiny", "2m", "d", ("published",)
    )
    with workspace.database.transaction() as connection:
        add_units(connection, [unit])
    with workspace.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE units SET job = '7'")
    ran = inside("cancel", "s", "--home", submitting).ok()
    assert "Slurm did not cancel job 7: 'scancel 7': scancel: error: slurmctld does not answer" in ran.err
    assert "cancelled 1 units of s" in ran.err
    assert read_rows(submitting, "SELECT state FROM units") == [("cancelled",)]
