"""Real commands on hosts of their own names, homes and processes: who goes on with a run, and who writes no more."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.demo import DEMO_SCALES
from vlmprobe.store.row_lease import LIFE_S

from ..command_line import Ran, Shell
from ..hosts import Host
from .many_hosts import run_many_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..postgres_server import Server

pytestmark = pytest.mark.full

PROCESSES, TEMPLATES = 10, ("published", "yes-no")
#: The same ten runs in one order, so that all want the same one at any time.
EXTRACT_TEN = f"""
import sys
from vlmprobe import Workspace, extract
home, data = sys.argv[1:]
workspace = Workspace.open(home, progress=False)
print("ready", flush=True)
sys.stdin.readline()
for template in {TEMPLATES}:
    for scale in {tuple(DEMO_SCALES)}:
        run = extract(workspace, "tiny", scale, data=data, template=template, batch_size=8, wait=True)
        assert (run.status, run.n_pairs, run.n_failed) == ("complete", 24, 0), run
"""
#: Where much else is running, to load PyTorch takes minutes; how soon something has to be is said by its own number.
PATIENCE_S = 900.0
#: How soon another host has a run whose holder's host is dead, as the documents say.
FOLLOWED_WITHIN_S = 100.0
_LEASE_LEFT = (
    "SELECT CAST(CAST(lease AS json) ->> 'expires' AS double precision) - extract(epoch FROM clock_timestamp()) "
    "FROM runs"
)


def _ask(server: Server, url: str, sql: str) -> list[tuple[Any, ...]]:
    return server.run(sql, database=url.rpartition("/")[2])


def test_ten_processes_that_start_the_same_ten_runs_make_ten_runs(
    shell: Shell,
    postgres: Server,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a new database, each from a home of its own: all end well, and each answer is there once."""
    url, data, began = postgres.empty(), benchmark(4), time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", EXTRACT_TEN, str(tmp_path / f"n{number}"), str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=shell.environ(VLMPROBE_DATABASE_URL=url, VLMPROBE_SHARD_PAIRS="8", **mlflow_store),
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    ended = [process.communicate("\n", timeout=PATIENCE_S)[1] for process in _told(processes)]
    assert [process.returncode for process in processes] == [0] * PROCESSES, ended

    runs = _ask(postgres, url, "SELECT run_key, status, lease FROM runs")
    assert len({key for key, *_ in runs}) == len(runs) == len(DEMO_SCALES) * len(TEMPLATES)
    assert {(status, lease) for _, status, lease in runs} == {("complete", None)}
    counts = "SELECT count(*), count(DISTINCT (run_id, pair_id, side)) FROM predictions"
    assert _ask(postgres, url, counts) == [(len(runs) * 48, len(runs) * 48)]
    assert _ask(postgres, url, "SELECT sum(n_pairs) FROM shards") == [(len(runs) * 24,)]
    assert _ask(postgres, url, "SELECT count(*) FROM failures") == [(0,)]
    shell("db", "check", "--home", tmp_path / "n0", VLMPROBE_DATABASE_URL=url).ok()
    with capsys.disabled():
        print(
            f"\n{PROCESSES} processes, {len(runs)} runs: {time.monotonic() - began:.0f} s, 0 errors, 0 doubled"
        )


def _told(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """Let all begin at once, and return them."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return processes


@pytest.fixture
def hosts(tmp_path: Path, postgres: Server, empty_mlflow: Path) -> Iterator[tuple[Host, Host, str]]:
    """Start two hosts that share a database, and nothing else: not the lock of a file, which only one host knows."""
    url = postgres.migrated()
    settings = {"VLMPROBE_DATABASE_URL": url, "VLMPROBE_SHARD_PAIRS": "8"}
    with ExitStack() as stack:
        first, second = (stack.enter_context(Host(tmp_path, name, **settings)) for name in ("n1", "n2"))
        for host in (first, second):
            host.home.mkdir()
            shutil.copy(empty_mlflow, host.home / "mlflow.db")
        yield first, second, url


def _holder(server: Server, url: str) -> str | None:
    ((host,),) = _ask(server, url, "SELECT CAST(lease AS json) ->> 'host' FROM runs") or [(None,)]
    return host


def _n_shards(server: Server, url: str) -> int:
    ((n,),) = _ask(server, url, "SELECT count(*) FROM shards")
    return int(n)


def _wait(condition: Callable[[], bool], seconds: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.05)
    return time.monotonic() - began


def test_another_host_goes_on_by_itself_when_one_dies(
    hosts: tuple[Host, Host, str],
    postgres: Server,
    benchmark: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SIGKILL to all that runs on a host: the one that waits has the run within 100 s, and completes it."""
    first, second, url = hosts
    extract = ("extract", "tiny", "--scale", "2m", "--data", benchmark(40), "--batch-size", 8, "--wait")
    first.run(*extract)
    _wait(lambda: _n_shards(postgres, url) >= 2, PATIENCE_S)
    # So that it is still at work once the other one waits; then it goes on, until the power goes.
    first.stop()
    waiting, before = second.run(*extract), _n_shards(postgres, url)
    _wait_for_line(waiting, "waiting for it")
    first.go_on()
    _wait(lambda: _n_shards(postgres, url) > before, PATIENCE_S)
    first.kill()
    before = _n_shards(postgres, url)
    ((left,),) = _ask(postgres, url, _LEASE_LEFT)
    assert (_holder(postgres, url), before < 30) == ("n1", True)
    took = _wait(lambda: _holder(postgres, url) == "n2", FOLLOWED_WITHIN_S)
    with capsys.disabled():
        print(
            f"\nn2 has the run {took:.1f} s after n1 was killed ({left:.1f} s of its lease left, {before} shards)"
        )
    _ended(waiting).ok()
    assert before < _n_shards(postgres, url)
    _is_whole(postgres, url)


def test_a_process_that_was_stopped_for_two_leases_writes_nothing(
    hosts: tuple[Host, Host, str],
    postgres: Server,
    benchmark: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another host completes the run meanwhile; the process then says why it ends, and no row is its own."""
    first, second, url = hosts
    extract = ("extract", "tiny", "--scale", "2m", "--data", benchmark(40), "--batch-size", 8, "--wait")
    zombie = first.run(*extract)
    _wait(lambda: _n_shards(postgres, url) >= 2, PATIENCE_S)
    stopped = time.monotonic()
    first.stop()
    _ended(second.run(*extract)).ok()
    _is_whole(postgres, url)
    rows = "SELECT * FROM predictions ORDER BY run_id, pair_id, side", "SELECT * FROM shards ORDER BY shard"
    kept = [_ask(postgres, url, each) for each in rows]
    time.sleep(max(0.0, 2 * LIFE_S - (time.monotonic() - stopped)))

    first.go_on()
    ended = _ended(zombie)
    assert (ended.code, len(ended.errors)) == (1, 1), ended.err
    assert "its lease of run" in ended.errors[0]
    assert [_ask(postgres, url, each) for each in rows] == kept
    _is_whole(postgres, url)
    with capsys.disabled():
        print(f"\nstopped for {time.monotonic() - stopped:.0f} s: {ended.errors[0]}")


def _ended(process: subprocess.Popen[str]) -> Ran:
    out, err = process.communicate(timeout=PATIENCE_S)
    return Ran(process.returncode, out, err)


def _wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"it never said {words!r}")


def _is_whole(server: Server, url: str) -> None:
    """Each answer once, no file named twice, nothing failed."""
    ((n, distinct, statuses, leases),) = _ask(
        server,
        url,
        "SELECT count(*), count(DISTINCT (pair_id, side)), min(status), count(lease) FROM predictions JOIN runs "
        "USING (run_id)",
    )
    assert (n, distinct, statuses, leases) == (480, 480, "complete", 0)
    assert _ask(server, url, "SELECT sum(n_pairs) FROM shards") == [(240,)]


def test_two_hosts_for_half_a_minute(tmp_path: Path, postgres: Server) -> None:
    """The short form of ``python -m tests.faults.many_hosts``."""
    many = run_many_hosts(tmp_path, postgres, n_hosts=2, processes=4, seconds=20)
    assert many.is_well, many
    assert many.commands.keys() == {"extract", "analyze", "merge", "sql"}
