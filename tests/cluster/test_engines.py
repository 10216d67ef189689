"""What each engine is given and writes, without a cluster."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from vlmprobe.cluster.engines.ray import _on_node, _travelling
from vlmprobe.errors import UsageError
from vlmprobe.store.schema import UnitRow
from vlmprobe.workspace import Workspace

from ..left_behind import read_rows
from ..postgres_server import keeps_a_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..command_line import Shell


@pytest.fixture
def home(tmp_path: Path, mlflow_store: dict[str, str]) -> Path:
    """Return a home with a space in its name."""
    return keeps_a_file(tmp_path / "a home")


def run(inside: Shell, home: Path, data: Path, *more: object) -> Any:
    """Submit two scales."""
    scales = ("--scale", "vanilla", "--scale", "2m")
    return inside("run", "tiny", "--data", data, *scales, *more, "--home", home)


@pytest.mark.full
def test_printed_commands_do_the_work_on_any_machine_in_any_order(
    inside: Shell,
    shell: Shell,
    home: Path,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
) -> None:
    """One line a unit; each leaves a run that is complete and analyzed, and the same submission is then empty."""
    data, options = benchmark(4), ("--batch-size", 8, "--experiment", "mine", "--engine", "print")
    submitted = run(inside, home, data, *options).ok()
    lines = [shlex.split(line) for line in submitted.out.splitlines()]
    assert [words[:4] for words in lines] == [[sys.executable, "-m", "vlmprobe", "unit"]] * 2
    assert "when all have ended: " in submitted.err
    for words in reversed(lines):
        shell(*words[3:], **mlflow_store).ok()
    assert read_rows(home, "SELECT state, attempts FROM units ORDER BY number") == [("done", 1)] * 2
    runs = "SELECT scale, status, count(metrics.name) > 0 FROM runs JOIN metrics USING (run_id) GROUP BY ALL ORDER BY 1"
    assert read_rows(home, runs) == [("2m", "complete", True), ("vanilla", "complete", True)]
    (commands, *_) = read_rows(home, "SELECT commands FROM units")[0]
    assert all("--experiment" in command for command in json.loads(commands))

    again = run(shell, home, data, *options, "--json").ok()
    assert "complete already: tiny @ vanilla, tiny @ 2m\nnothing to submit" in again.err
    assert {row["scale"] for row in json.loads(again.out)} == {"vanilla", "2m"}


def test_slurms_scripts_can_be_read_before_anything_is_submitted(
    inside: Shell, home: Path, benchmark: Callable[..., Path]
) -> None:
    """An array with the index of each unit, and a job that compares; no unit is noted."""
    own = ("--sbatch", "--partition gpu --comment 'two words'", "--gpus-per-unit", 2)
    shown = run(inside, home, benchmark(4), "--engine", "slurm", "--print", *own).ok()
    array, report = shown.out.split("#!/bin/bash\n")[1:]
    assert "#SBATCH --array=0-1\n" in array
    assert "#SBATCH --partition gpu --comment 'two words'\n" in array
    assert "#SBATCH --gres=gpu:2\n" in array
    assert f"#SBATCH --output='{home}/units/" in array
    assert '"$SLURM_ARRAY_TASK_ID" --home ' in array
    assert "analyze tiny --scale vanilla --scale 2m" in report
    assert "--gres" not in report
    assert read_rows(home, "SELECT count(*) FROM units") == [(0,)]


@pytest.mark.parametrize("engine", ["slurm", "ray"])
def test_hosts_cannot_share_a_file(
    inside: Shell, home: Path, benchmark: Callable[..., Path], engine: str
) -> None:
    """Whoever submits is told what to set."""
    if engine == "ray":
        pytest.importorskip("ray")
    ran = run(inside, home, benchmark(4), "--engine", engine)
    assert ran.code == 2
    assert "VLMPROBE_DATABASE_URL" in ran.errors[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--engine", "kubernetes"), "kubernetes"),
        (("--engine", "ray", "--sbatch", "-p gpu"), "--sbatch cannot be used with --engine ray"),
        (("--address", "head:6379"), "--address cannot be used with --engine local"),
        (("--engine", "slurm", "--print", "--gpus-per-unit", -1), "--gpus-per-unit must be 0 or more"),
        (("--engine", "slurm", "--print", "--sbatch", "'open"), "no closing quotation"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    inside: Shell, home: Path, benchmark: Callable[..., Path], options: tuple[object, ...], says: str
) -> None:
    """One line, before anything is noted."""
    ran = run(inside, home, benchmark(4), *options)
    assert (ran.code, len(ran.errors)) == (2, 1)
    assert says in ran.errors[0]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("VLMPROBE_DATABASE_URL", "postgresql://ana:secret@db/study"),
        ("VLMPROBE_READER_URL", "postgresql://db/study?user=ana&password=secret"),
        ("MLFLOW_TRACKING_URI", "http://ana:secret@mlflow"),
    ],
)
def test_an_address_with_a_password_does_not_travel_to_ray(name: str, address: str) -> None:
    """Ray's dashboard would show it; the line that refuses it does not."""
    with pytest.raises(UsageError, match=f"^{name} holds a password") as refused:
        _travelling({name: address})
    assert "secret" not in str(refused.value)


def test_a_ray_node_keeps_its_own_places() -> None:
    """Database and MLflow are those of whoever submits; a home that a node names itself is the node's."""
    mine = {
        "VLMPROBE_DATABASE_URL": "postgresql://db/study",
        "VLMPROBE_HOME": "/home/me",
        "MLFLOW_TRACKING_URI": "http://mlflow",
        "PGPASSWORD": "secret",
        "MLFLOW_TRACKING_PASSWORD": "secret",
        "HOME": "/home/me",
    }
    travelled = _travelling(mine)
    assert travelled.keys() == {"VLMPROBE_DATABASE_URL", "VLMPROBE_HOME", "MLFLOW_TRACKING_URI"}
    node = {"VLMPROBE_HOME": "/scratch", "VLMPROBE_DATABASE_URL": "postgresql://other", "HOME": "/root"}
    assert _on_node(node, travelled) == {
        "VLMPROBE_DATABASE_URL": "postgresql://db/study",
        "VLMPROBE_HOME": "/scratch",
        "MLFLOW_TRACKING_URI": "http://mlflow",
        "HOME": "/root",
    }
    assert _on_node({}, travelled)["VLMPROBE_HOME"] == "/home/me"


def test_new_runs_are_begun_once(
    inside: Shell, shell: Shell, home: Path, benchmark: Callable[..., Path], mlflow_store: dict[str, str]
) -> None:
    """A unit with ``--new`` that is begun again resumes the run that its first attempt began."""
    data = benchmark(4)
    options = ("--batch-size", 8, "--engine", "print", "--new")
    submitted = inside("run", "tiny", "--data", data, "--scale", "2m", *options, "--home", home).ok()
    words = shlex.split(submitted.out)[3:]
    shell(*words, **mlflow_store).ok()
    workspace = Workspace.open(home)
    with workspace.database.transaction() as connection:
        connection.execute(update(UnitRow).values(state="stopped"))
    again = shell(*words, **mlflow_store).ok()
    assert "all 24 pairs reused" in again.err
    assert read_rows(home, "SELECT count(*) FROM runs") == [(1,)]
