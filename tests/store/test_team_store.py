"""Two homes share a database and an MLflow server before an S3-like store: what one extracts, the other reads.

The homes stand for two hosts: while one is at work, the other's folder is not there. Bytes are counted on the wire, to
the store and to the MLflow server, in both directions.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vlmprobe.settings import Settings
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.runs import get_run, set_status
from vlmprobe.store.shards import write_shard
from vlmprobe.workspace import Workspace

from ..faults.mlflow_server import MlflowServer
from ..faults.s3_store import Counter, S3Store
from ..left_behind import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vlmprobe.store.engine import Database

    from ..postgres_server import Server

pytestmark = pytest.mark.full

_MIB = 2**20
_VALUES = (
    "SELECT name, version, subset, target, layer, value, n FROM metrics "
    "ORDER BY name, version, subset, target, layer"
)


class Team:
    """The server, the store, and the database of two homes."""

    def __init__(self, folder: Path, databases: Databases, inside: Any) -> None:
        self.a, self.b = folder / "a", folder / "b"
        self._databases, self._inside = databases, inside
        self.s3 = S3Store()
        self.server = MlflowServer(
            folder / "server", self.s3.destination, store=databases.of_mlflow, **self.s3.environ
        )
        self.server.start()
        self.counter = Counter(self.server.port)

    @property
    def environ(self) -> dict[str, str]:
        return {"VLMPROBE_DATABASE_URL": self._databases.url, "MLFLOW_TRACKING_URI": self.counter.address}

    def values(self) -> list[tuple[Any, ...]]:
        """Return all metrics, straight from the database."""
        url = self._databases.url
        if not url.startswith("postgresql"):
            return read_rows(Path(url.removeprefix("duckdb:///")).parent, _VALUES)
        import psycopg

        with psycopg.connect(url) as session:
            return session.execute(_VALUES).fetchall()

    def __call__(self, home: Path, *command: object, **environ: str) -> Any:
        """Run a command in a home; it has no credentials of the store."""
        with self.alone(home):
            return self._inside(*command, "--home", home, **self.environ, **environ)

    @contextmanager
    def alone(self, home: Path) -> Iterator[Workspace]:
        """Hide the other home, as if this one were on another host; yield this one's workspace."""
        other = self.a if home == self.b else self.b
        away = other.with_name("away")
        other.mkdir(exist_ok=True)
        other.rename(away)
        try:
            environ = {**self.environ, "VLMPROBE_HOME": str(home)}
            yield Workspace(Settings.load(environ=environ, folder=home.parent))
        finally:
            away.rename(other)

    def traffic(self) -> int:
        """Return the bytes that passed since the last call."""
        moved = self.s3.counter.bytes + self.counter.bytes
        self.s3.counter.bytes = self.counter.bytes = 0
        return moved

    def close(self) -> None:
        self.server.kill()
        self.counter.close()
        self.s3.close()


@dataclass(frozen=True, slots=True)
class Databases:
    """Where everything is that is no file."""

    url: str
    """The database that both homes use, outside of either."""
    of_mlflow: str | None
    """The store of the MLflow server; None = a file of its own."""


@pytest.fixture(params=["duckdb", "postgres"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Databases:
    """Name a file that both homes use; or a Postgres, which has a database for the MLflow server, too."""
    if request.param == "duckdb":
        return Databases(f"duckdb:///{tmp_path / 'home' / 'vlmprobe.duckdb'}", None)
    postgres: Server = request.getfixturevalue("postgres")
    return Databases(postgres.migrated(), postgres.empty().replace("postgresql://", "postgresql+psycopg://"))


@pytest.fixture
def settings(databases: Databases, tmp_path: Path) -> Settings:
    """Let rows that are made by hand be in that database."""
    environ = {"VLMPROBE_DATABASE_URL": databases.url}
    return Settings.load(tmp_path / "home", environ=environ, folder=tmp_path)


@pytest.fixture
def team(tmp_path: Path, databases: Databases, inside: Any) -> Iterator[Team]:
    """Start server and store."""
    made = Team(tmp_path, databases, inside)
    yield made
    made.close()


def _spooled(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.glob("spool/*/*.safetensors")}


def _commit(team: Team, database: Database, content: Any) -> None:
    """Write a shard in home A and its rows."""
    shard = write_shard(team.a / "spool" / "r1", content)
    with database.transaction() as connection:
        commit_shard(connection, shard)


def _finish(team: Team, database: Database, n_layers: int, dim: int) -> Any:
    """Complete the run and upload what home A has of it; return the run."""
    with database.transaction() as connection:
        set_status(connection, "r1", "complete", n_layers=n_layers, dim=dim)
    team(team.a, "sync").ok()
    team.traffic()


def test_what_one_home_extracts_the_other_analyzes_and_plots(
    team: Team, benchmark: Callable[..., Path], tmp_path: Path
) -> None:
    """The values are those of the home with the files; pruning frees its spool; both verify; JSON stays JSON."""
    extract = ("extract", "tiny", "--scale", "2m", "--data", benchmark(8), "--batch-size", 8)
    extracted = team(team.a, *extract, "--json", VLMPROBE_SHARD_PAIRS="16").ok()
    assert json.loads(extracted.out)
    spool = _spooled(team.a)
    assert team.s3.shards() == spool

    analyzed = team(team.b, "analyze", "--json").ok()
    assert json.loads(analyzed.out)
    assert _spooled(team.b) == {}
    values = team.values()
    team(team.a, "analyze", "--force").ok()
    assert team.values() == values
    assert team(team.b, "plot", "--out", tmp_path / "plots").ok()
    assert list((tmp_path / "plots").rglob("*.png"))

    team(team.a, "sync", "--prune").ok()
    assert _spooled(team.a) == {}
    team(team.a, "verify").ok()
    team(team.b, "verify").ok()
    team(team.a, "analyze", "--force").ok()
    assert team.values() == values


def test_five_of_94_layers_move_less_than_a_tenth_of_the_bytes(
    team: Team, study: Any, shard_content: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ``plot`` shows of a large run does not need the run."""
    categories = ("left", "right", "above", "below", "far", "close")
    pairs = [str(place) for place in range(24)]
    study.pairs({name: categories[place % 6] for place, name in enumerate(pairs)})
    study.run("r1")
    draw = np.random.default_rng(0)
    for number in (1, 2):
        mine = tuple(pairs[(number - 1) * 12 : number * 12])
        states = draw.normal(size=(94, 12, 2, 1024)).astype(np.float32)
        _commit(team, study.database, shard_content(number, mine, states=states, layers=tuple(range(94))))
    _finish(team, study.database, 94, 1024)
    team(team.a, "analyze").ok()
    team.traffic()

    whole = sum(map(len, team.s3.shards().values()))
    team.traffic()
    team(team.b, "plot", "--out", tmp_path / "plots").ok()
    moved = team.traffic()
    team(team.b, "plot", "--out", tmp_path / "plots").ok()
    again = team.traffic()
    with capsys.disabled():
        print(f"\nplot, 5 of 94 layers of {whole / _MIB:.1f} MiB: {moved / _MIB:.2f} MiB, then {again} bytes")
    assert 0.9 * whole * 5 / 94 < moved < whole / 10
    assert again == 0


def test_one_layer_of_a_large_shard_costs_two_megabytes_at_most(
    team: Team, study: Any, shard_content: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 62 MB: the layer, 1.3 MB, and the header."""
    pairs = tuple(map(str, range(80)))
    study.pairs(dict.fromkeys(pairs, "left"))
    study.run("r1")
    states = np.random.default_rng(0).integers(0, 2**14, size=(47, 80, 2, 4096), dtype=np.uint16)
    content = shard_content(1, pairs, states=states, layers=tuple(range(47)), dtype="bfloat16")
    _commit(team, study.database, content)
    _finish(team, study.database, 47, 4096)

    with team.alone(team.b) as workspace:
        with workspace.database.transaction() as connection:
            run = get_run(connection, "r1")
        layer = workspace.arrays(run).layer(17)
    moved = team.traffic()
    with capsys.disabled():
        print(f"\none layer of {states.nbytes / 1e6:.1f} MB: {moved / 1e6:.2f} MB")
    np.testing.assert_array_equal(layer, (states[17].astype(np.uint32) << 16).view(np.float32))
    assert states[17].nbytes < moved <= 2e6


def test_a_server_killed_and_brought_back_costs_nothing(
    team: Team, shell: Any, benchmark: Callable[..., Path], wait_until: Any, tmp_path: Path
) -> None:
    """Killed while A extracts: the run is complete, and ``sync`` delivers. Killed for B: a line, then as before."""
    extract = ("extract", "tiny", "--scale", "2m", "--data", benchmark(16), "--batch-size", 8)
    environ = team.environ | {"VLMPROBE_SHARD_PAIRS": "8", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    process = shell.start(*extract, "--home", team.a, **environ)
    wait_until(lambda: len(_spooled(team.a)) >= 3, process)
    team.server.kill()
    shell.finish(process).ok()
    away = team(team.b, "analyze", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert (away.code, len(away.errors)) == (1, 1)

    team.server.start()
    team(team.a, "sync").ok()
    assert team.s3.shards() == _spooled(team.a)
    team(team.b, "analyze").ok()
    team(team.b, "verify").ok()
    values = team.values()
    team.server.kill()
    # Everything is in the cache now, so figures need no server.
    team(team.b, "plot", "--out", tmp_path / "plots").ok()
    team.server.start()
    team(team.b, "analyze", "--force").ok()
    assert team.values() == values
