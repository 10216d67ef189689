"""A study on a real Slurm of three nodes: one dies, a job is requeued, and nobody has to do anything."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from vlmprobe.demo import DEMO_SCALES

from .slurm_box import NODES, SlurmBox, slurm_box
from .team import BATCH, AtWork, Team, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..postgres_server import Server

pytestmark = pytest.mark.full

SCALES = tuple(DEMO_SCALES)
#: How long a stopped job may take to write what it has.
STOPPED_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def team(server: Server, empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """Two people and the nodes; a space in a path is usual, and no shell may split it."""
    return Team(
        server, tmp_path_factory.mktemp("shared") / "our team", empty_mlflow, "desk", "laptop", *NODES
    )


@pytest.fixture(scope="module")
def slurm(team: Team) -> Iterator[SlurmBox]:
    """Start the cluster."""
    with slurm_box(team.root) as box:
        yield box


@dataclass(frozen=True, slots=True)
class Disturbed:
    """A study in which a node was killed and a job requeued."""

    submission: str
    lost: AtWork
    """The unit whose node was killed."""
    requeued: AtWork
    """The unit whose job was requeued."""
    times: str
    """How long what took."""


@pytest.fixture(scope="module")
def disturbed(
    slurm: SlurmBox,
    team: Team,
    pairs: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Disturbed:
    """Submit the five scales, kill a node, requeue a job on another one, and wait for the report."""
    shell = team.shell("desk", tmp_path_factory.mktemp("work"), **slurm.environ)
    submitted = shell("run", "tiny", "--data", pairs, *BATCH, "--engine", "slurm", "--json").ok()
    name = name_of(submitted)
    (job,) = {number.partition("_")[0] for number, each, _ in slurm.jobs() if each == f"vlmprobe-{name}"}
    lost = team.at_work(name)
    slurm.kill(lost.host)
    killed = time.monotonic()
    requeued = team.at_work(name, besides=(lost.host,))
    slurm.ask("scontrol", "requeue", f"{job}_{requeued.number}")
    again = time.monotonic()
    slurm.wait(lambda: lost.host in slurm.down())
    noticed = time.monotonic() - killed
    slurm.bring_back(lost.host)
    team.wait(lambda: team.units(name)[lost.number][1] == 2)
    resumed = time.monotonic() - killed
    team.wait(lambda: team.units(name)[requeued.number][1] == 2)
    requeued_after = time.monotonic() - again
    team.wait(lambda: not slurm.jobs())
    times = (
        f"{lost.host} killed at {lost.n_shards} of 6 shards: Slurm noticed after {noticed:.0f} s, the unit was begun "
        f"again after {resumed:.0f} s; one whose job was requeued after {requeued_after:.0f} s; all of it done "
        f"after {time.monotonic() - killed:.0f} s"
    )
    return Disturbed(name, lost, requeued, times)


def test_a_study_completes_although_a_node_dies(
    disturbed: Disturbed, team: Team, local_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slurm requeues its job, another node resumes the unit, and all is as one machine makes it, bit for bit."""
    with capsys.disabled():
        print(f"\n{disturbed.times}")
    units = team.units(disturbed.submission)
    assert {state for state, *_ in units.values()} == {"done"}
    assert units[disturbed.lost.number][1] == 2
    team.is_as(local_study, SCALES)
    assert team.rows("SELECT DISTINCT status, lease FROM runs") == [("complete", None)]
    hosts = {host for (host,) in team.rows("SELECT DISTINCT host FROM shards")}
    assert len(hosts) >= 2
    assert hosts <= set(NODES)
    assert list(team.root.glob("*/reports/*/report.html"))


def test_a_job_that_is_requeued_goes_on_where_it_was(disturbed: Disturbed, team: Team) -> None:
    """It is told to stop, writes the batches that are done, and resumes them: its log says how many."""
    state, tries, _, error = team.units(disturbed.submission)[disturbed.requeued.number]
    assert (state, tries, error) == ("done", 2, None)
    ((log,),) = team.rows(
        f"SELECT log FROM units WHERE submission = '{disturbed.submission}' AND number = {disturbed.requeued.number}"
    )
    with open(log, encoding="utf-8") as stream:  # noqa: PTH123 - of a row
        said = stream.read()
    assert "error: stopped; finished work is kept; rerun the same command to resume" in said
    assert "pairs reused" in said


def test_the_same_command_again_submits_nothing(
    disturbed: Disturbed, slurm: SlurmBox, team: Team, pairs: Path, tmp_path: Path
) -> None:
    """It says what is complete, and prints the comparison."""
    before = team.rows("SELECT count(*) FROM units")
    again = team.shell("laptop", tmp_path, **slurm.environ)(
        "run", "tiny", "--data", pairs, *BATCH, "--engine", "slurm", "--json"
    ).ok()
    assert "nothing to submit" in again.err
    assert {row["scale"] for row in json.loads(again.out)} == set(SCALES)
    assert slurm.jobs() == []
    assert team.rows("SELECT count(*) FROM units") == before


def test_status_and_cancel_work_from_another_home(
    slurm: SlurmBox, team: Team, pairs: Path, tmp_path: Path
) -> None:
    """Whoever shares the database sees host, pairs and state; what waits is not begun, what runs writes and ends."""
    desk, laptop = (team.shell(name, tmp_path, **slurm.environ) for name in ("desk", "laptop"))
    submitted = desk("run", "tiny", "--data", pairs, *BATCH, "--new", "--engine", "slurm").ok()
    name = name_of(submitted)
    at_work = team.at_work(name)

    shown = json.loads(laptop("status", name, "--json").ok().out)
    (row,) = (each for each in shown if each["unit"] == at_work.number)
    assert (row["host"], row["of"], row["error"]) == (at_work.host, 48, None)
    assert row["pairs"] >= 8
    assert {each["state"] for each in shown} >= {"running", "waiting"}

    assert "cancelled" in laptop("cancel", name).ok().err
    slurm.wait(lambda: not slurm.jobs(), STOPPED_WITHIN_S)
    states = {each["state"] for each in json.loads(desk("status", name, "--json").ok().out)}
    assert states <= {"cancelled", "done"}
    assert "cancelled" in states
    # What ran was not killed: it wrote what was done, and no lease is left to wait for.
    left = team.rows("SELECT status, lease FROM runs")
    assert {lease for _, lease in left} == {None}
    assert "interrupted" in {status for status, _ in left}


def test_a_unit_that_fails_says_why_and_the_others_are_reported(
    slurm: SlurmBox, team: Team, pairs: Path, tmp_path: Path
) -> None:
    """A checkpoint that is none: its error is in ``status``, and the report is about the scales that are complete."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (tmp_path / "vlmprobe.toml").write_text(
        f'[families.tiny.scales.broken]\ncheckpoint = "{broken}"\n', encoding="utf-8"
    )
    desk, out = team.shell("desk", tmp_path, **slurm.environ), tmp_path / "report"
    scales = ("--scale", "vanilla", "--scale", "broken")
    name = name_of(
        desk("run", "tiny", *scales, "--data", pairs, *BATCH, "--engine", "slurm", "--out", out).ok()
    )
    slurm.wait(lambda: not slurm.jobs(), 600)
    shown = {each["name"]: each for each in json.loads(desk("status", name, "--json").ok().out)}
    assert shown["tiny @ broken"]["state"] == "failed"
    assert str(broken) in shown["tiny @ broken"]["error"]
    assert (out / "report.html").exists()


def test_one_scale_in_four_parts_is_that_of_one_process(
    slurm: SlurmBox,
    team: Team,
    many_pairs: Path,
    one_process: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A node dies with its part half done; Slurm requeues that, and whoever ends last analyzes the run."""
    desk = team.shell("desk", tmp_path, **slurm.environ)
    command = (
        "run",
        "tiny",
        "--scale",
        "2m",
        "--data",
        many_pairs,
        *BATCH,
        "--engine",
        "slurm",
        "--parts",
        4,
    )
    submitted = desk(*command).ok()
    name = name_of(submitted)
    assert submitted.out.split() == [name]
    lost = team.at_work(name)
    slurm.kill(lost.host)
    killed = time.monotonic()
    slurm.wait(lambda: lost.host in slurm.down())
    slurm.bring_back(lost.host)
    team.wait(lambda: not slurm.jobs())
    with capsys.disabled():
        took = time.monotonic() - killed
        print(f"\n{lost.host} killed at {lost.n_shards} shards of a part: all of it done after {took:.0f} s")
    assert team.units(name)[lost.number][1] == 2
    team.are_parts_of_one_run(one_process, name, 4)
    assert "nothing to submit" in desk(*command).ok().err
