"""A study on a real Ray cluster: a node dies, its unit is begun again on another one, and nobody has to do anything."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from vlmprobe.demo import DEMO_SCALES

from ..command_line import ENVIRONMENT, Ran
from .ray_box import RAY_NODES, RayBox, ray_box
from .team import BATCH, PATIENCE_S, AtWork, Team

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from ..postgres_server import Server

pytestmark = pytest.mark.full

SCALES = tuple(DEMO_SCALES)


@pytest.fixture(scope="module")
def team(server: Server, empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """Two people and the nodes."""
    root = tmp_path_factory.mktemp("shared") / "our team"
    return Team(server, root, empty_mlflow, "desk", "laptop", *RAY_NODES)


@pytest.fixture(scope="module")
def cluster(team: Team) -> Iterator[RayBox]:
    """Start the cluster."""
    with ray_box(team.root, **ENVIRONMENT) as box:
        yield box


@dataclass(frozen=True, slots=True)
class Disturbed:
    """A study in which a node was killed."""

    ran: Ran
    submission: str
    lost: AtWork
    """The unit whose node was killed."""
    times: str
    """How long what took."""


def _submission(team: Team) -> str:
    """Wait for the next submission, and return its name."""
    known = {name for (name,) in team.rows("SELECT DISTINCT submission FROM units")}
    found: set[str] = set()

    def look() -> bool:
        found.update(name for (name,) in team.rows("SELECT DISTINCT submission FROM units"))
        return bool(found - known)

    team.wait(look)
    (name,) = found - known
    return name


def _ended(process: subprocess.Popen[str]) -> Ran:
    out, err = process.communicate(timeout=PATIENCE_S)
    return Ran(process.returncode, out, err)


@pytest.fixture(scope="module")
def disturbed(
    cluster: RayBox, team: Team, pairs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Disturbed:
    """Run the five scales, kill a node at work, and wait for the report."""
    shell = team.shell("desk", tmp_path_factory.mktemp("work"))
    where = ("--engine", "ray", "--address", cluster.address)
    process = shell.start("run", "tiny", "--data", pairs, *BATCH, *where, "--json")
    name = _submission(team)
    lost = team.at_work(name)
    cluster.kill(lost.host)
    killed = time.monotonic()
    team.wait(lambda: team.units(name)[lost.number][1] == 2)
    resumed = time.monotonic() - killed
    ran = _ended(process)
    times = (
        f"{lost.host} killed at {lost.n_shards} of 6 shards: the unit was begun again after {resumed:.0f} s, and all "
        f"of it done after {time.monotonic() - killed:.0f} s"
    )
    return Disturbed(ran, name, lost, times)


def test_a_study_completes_although_a_node_dies(
    disturbed: Disturbed, team: Team, local_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ray begins its unit on another node, which waits for the dead one's lease; the end is equal, bit for bit."""
    with capsys.disabled():
        print(f"\n{disturbed.times}")
    printed = json.loads(disturbed.ran.ok().out)
    assert {row["scale"] for row in printed} == set(SCALES)
    units = team.units(disturbed.submission)
    assert {state for state, *_ in units.values()} == {"done"}
    assert units[disturbed.lost.number][1:3] != (2, disturbed.lost.host)
    team.is_as(local_study, SCALES)
    assert team.rows("SELECT DISTINCT status, lease FROM runs") == [("complete", None)]
    assert {host for (host,) in team.rows("SELECT DISTINCT host FROM shards")} <= set(RAY_NODES)


def test_the_same_command_again_submits_nothing(
    disturbed: Disturbed, cluster: RayBox, team: Team, pairs: Path, tmp_path: Path
) -> None:
    """It says what is complete, and prints the comparison."""
    before = team.rows("SELECT count(*) FROM units")
    where = ("--engine", "ray", "--address", cluster.address)
    again = team.shell("laptop", tmp_path)("run", "tiny", "--data", pairs, *BATCH, *where, "--json").ok()
    assert "nothing to submit" in again.err
    assert again.out == disturbed.ran.out
    assert team.rows("SELECT count(*) FROM units") == before


def test_status_and_cancel_work_from_another_home(
    cluster: RayBox, team: Team, pairs: Path, tmp_path: Path
) -> None:
    """Whoever shares the database sees host and pairs; the command that waits ends, and says that it was cancelled."""
    desk, laptop = (team.shell(name, tmp_path) for name in ("desk", "laptop"))
    where = ("--new", "--engine", "ray", "--address", cluster.address)
    process = desk.start("run", "tiny", "--data", pairs, *BATCH, *where)
    name = _submission(team)
    at_work = team.at_work(name)
    shown = json.loads(laptop("status", name, "--json").ok().out)
    (row,) = (each for each in shown if each["unit"] == at_work.number)
    assert (row["host"], row["of"], row["error"]) == (at_work.host, 48, None)

    assert "cancelled" in laptop("cancel", name).ok().err
    ended = _ended(process)
    assert (ended.code, len(ended.errors)) == (1, 1), ended.err
    assert "cancelled" in ended.errors[0]
    assert {state for state, *_ in team.units(name).values()} <= {"cancelled", "done"}


def test_a_command_that_is_stopped_stops_its_units(
    cluster: RayBox, team: Team, pairs: Path, tmp_path: Path
) -> None:
    """SIGTERM, as Ctrl-C: what runs writes what is done, and nothing waits for a beginning that nobody makes."""
    where = ("--new", "--engine", "ray", "--address", cluster.address)
    process = team.shell("desk", tmp_path).start("run", "tiny", "--data", pairs, *BATCH, *where)
    name = _submission(team)
    team.at_work(name)
    process.send_signal(signal.SIGTERM)
    ended = _ended(process)
    assert ended.code == 130, ended.err
    assert {state for state, *_ in team.units(name).values()} <= {"cancelled", "done"}
    # The one at work may have been done before it was told; nobody works on any, and none was killed.
    left = set(team.rows("SELECT status, lease FROM runs"))
    assert left <= {("complete", None), ("interrupted", None)}


def test_a_unit_that_fails_says_why_and_the_others_are_reported(
    cluster: RayBox, team: Team, pairs: Path, tmp_path: Path
) -> None:
    """A checkpoint that is none: its error is in ``status``, the report is made, and the exit code is 1."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (tmp_path / "vlmprobe.toml").write_text(
        f'[families.tiny.scales.broken]\ncheckpoint = "{broken}"\n', encoding="utf-8"
    )
    desk, out = team.shell("desk", tmp_path), tmp_path / "report"
    scales = ("--scale", "vanilla", "--scale", "broken")
    where = ("--engine", "ray", "--address", cluster.address, "--out", out)
    process = desk.start("run", "tiny", *scales, "--data", pairs, *BATCH, *where)
    name = _submission(team)
    ended = _ended(process)
    assert (ended.code, len(ended.errors)) == (1, 1), ended.err
    assert "tiny @ broken" in ended.errors[0]
    shown = {each["name"]: each for each in json.loads(desk("status", name, "--json").ok().out)}
    assert str(broken) in shown["tiny @ broken"]["error"]
    assert (out / "report.html").exists()


def test_one_scale_in_four_parts_is_that_of_one_process(
    cluster: RayBox,
    team: Team,
    many_pairs: Path,
    one_process: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A node dies with its part half done; Ray begins that elsewhere, and whoever ends last analyzes the run."""
    desk = team.shell("desk", tmp_path)
    where = ("--engine", "ray", "--address", cluster.address, "--parts", 4)
    command = ("run", "tiny", "--scale", "2m", "--data", many_pairs, *BATCH, *where)
    process = desk.start(*command)
    name = _submission(team)
    lost = team.at_work(name)
    cluster.kill(lost.host)
    killed = time.monotonic()
    ended = _ended(process).ok()
    with capsys.disabled():
        took = time.monotonic() - killed
        print(f"\n{lost.host} killed at {lost.n_shards} shards of a part: all of it done after {took:.0f} s")
    assert f"4 units; see 'vlmprobe status {name}'" in ended.err
    team.are_parts_of_one_run(one_process, name, 4)
    assert "nothing to submit" in desk(*command).ok().err
