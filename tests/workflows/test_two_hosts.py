"""Hosts that share a database and no MLflow server: whose files can be read, and who is named where they cannot."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from ..left_behind import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_VALUES = (
    "SELECT name, version, subset, target, layer, value, n FROM metrics "
    "ORDER BY name, version, subset, target, layer"
)


@dataclass(frozen=True, slots=True)
class Hosts:
    """A folder that hosts share, their database, and commands on a host of any name."""

    shared: Path
    url: str | None
    """The database's address; None = a file in the folder, wherever that is mounted."""
    empty_mlflow: Path
    inside: Any
    patch: pytest.MonkeyPatch

    def __call__(self, host: str, home: Path, *command: object, root: Path | None = None) -> Any:
        self.patch.setattr("socket.gethostname", lambda: host)
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "mlflow.db").exists():
            shutil.copy(self.empty_mlflow, home / "mlflow.db")
        more = {} if root is None else {"VLMPROBE_STORE_ROOT": str(root)}
        url = self.url or f"duckdb:///{self.shared / 'vlmprobe.duckdb'}"
        return self.inside(*command, "--home", home, VLMPROBE_DATABASE_URL=url, **more)

    def rows(self, sql: str) -> Any:
        if self.url is None:
            return read_rows(self.shared, sql)
        import psycopg

        with psycopg.connect(self.url) as session:
            return session.execute(sql.encode()).fetchall()


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.full)])
def hosts(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    empty_mlflow: Path,
    inside: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Hosts:
    """Share a folder, and a database: a file in the folder, or Postgres."""
    url = request.getfixturevalue("postgres").migrated() if request.param == "postgres" else None
    return Hosts(tmp_path / "shared", url, empty_mlflow, inside, monkeypatch)


@pytest.fixture
def extract(benchmark: Callable[..., Path]) -> tuple[object, ...]:
    """Name the extraction of 24 pairs."""
    return ("extract", "tiny", "--scale", "2m", "--data", benchmark(4), "--batch-size", 8)


def test_a_run_that_one_host_alone_can_read_names_it(
    hosts: Hosts, extract: tuple[object, ...], tmp_path: Path
) -> None:
    """The other host's home may be at the very same path: what is not there is not lost, and no repair forgets it."""
    home = tmp_path / "scratch" / "home"
    hosts("n3", home, *extract).ok()
    told = hosts("n3", home, "verify").ok()
    assert "1 of 1 shards are on this host (n3) alone" in told.err
    home.parent.rename(tmp_path / "scratch of n3")
    (home / "spool").mkdir(parents=True)
    ((run_id,),) = hosts.rows("SELECT run_id FROM runs")
    (home / "spool" / run_id).mkdir()

    for repair in ((), ("--repair",)):
        looked = hosts("n9", home, "verify", *repair)
        assert looked.code == 1
        (line,) = looked.out.splitlines()
        assert "1 of 1 shards are on host n3 alone, so this host cannot read them" in line
    assert hosts.rows("SELECT count(*), min(status) FROM predictions, runs") == [(48, "complete")]

    analyzed = hosts("n9", home, "analyze")
    assert analyzed.code == 1
    assert "no run was analyzed: the hidden states of 1 are on host n3 alone" in analyzed.errors[0]
    assert f"is on host n3 alone ({home}/spool/" in analyzed.err
    assert "this is host n9" in analyzed.err


@pytest.mark.full
def test_runs_of_another_host_do_not_stop_those_of_this_one(
    hosts: Hosts, extract: tuple[object, ...], tmp_path: Path
) -> None:
    """They are named in a warning; the others are analyzed."""
    hosts("n3", tmp_path / "n3", *extract).ok()
    (tmp_path / "n3").rename(tmp_path / "away")
    hosts("n9", tmp_path / "n9", *(word if word != "2m" else "vanilla" for word in extract)).ok()
    analyzed = hosts("n9", tmp_path / "n9", "analyze").ok()
    assert "tiny @ 2m: not analyzed: shard 1 of run" in analyzed.err
    counted = "SELECT scale, count(*) > 0 FROM metrics JOIN runs USING (run_id) GROUP BY scale"
    assert hosts.rows(counted) == [("vanilla", True)]


@pytest.mark.full
def test_a_shared_folder_is_read_wherever_it_is_mounted(
    hosts: Hosts, extract: tuple[object, ...], tmp_path: Path
) -> None:
    """Its paths are stored relative to it; the host that does not say where it is mounted is told to."""
    root = hosts.shared
    hosts("n3", root / "a", *extract, root=root).ok()
    hosts("n3", root / "a", "analyze", root=root).ok()
    values = hosts.rows(_VALUES)
    places = hosts.rows("SELECT path, artifact_uri FROM shards")
    assert all(place.startswith("shared:/a/") for row in places for place in row)

    mounted = root.rename(tmp_path / "mounted elsewhere")
    there = replace(hosts, shared=mounted)
    lost = there("n9", tmp_path / "b", "analyze", "--force")
    assert lost.code == 1
    assert "set VLMPROBE_STORE_ROOT to where that folder is mounted here" in lost.err
    assert there("n9", tmp_path / "b", "verify", root=mounted).ok().out == ""
    there("n9", tmp_path / "b", "analyze", "--force", root=mounted).ok()
    assert there.rows(_VALUES) == values


@pytest.mark.full
def test_a_pruned_spool_is_read_from_the_artifacts_of_the_other_home(
    hosts: Hosts, extract: tuple[object, ...]
) -> None:
    """The copy that the reader delivers to its own MLflow is in its spool, which no cache's bound empties."""
    root = hosts.shared
    hosts("n3", root / "a", *extract, root=root).ok()
    hosts("n3", root / "a", "analyze", root=root).ok()
    values = hosts.rows(_VALUES)
    hosts("n3", root / "a", "sync", "--prune", root=root).ok()
    assert not list(root.glob("a/spool/*/*.safetensors"))
    hosts("n9", root / "b", "analyze", "--force", root=root).ok()
    assert hosts.rows(_VALUES) == values
    assert list(root.glob("b/spool/*/*.safetensors"))
    hosts("n9", root / "b", "verify", root=root).ok()
