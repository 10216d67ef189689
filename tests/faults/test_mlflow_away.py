"""MLflow away, in whatever way: a run does not wait for it beyond one timeout, and ``vlmprobe sync`` delivers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.store.committer import Committer

from ..left_behind import read_rows
from .mlflow_server import Gate, MlflowServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vlmprobe.store.delivery import Delivery


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Listen where an MLflow server should be, with none behind it."""
    opened = Gate(port_behind=1)
    yield opened
    opened.close()


def _extract(home: Path, data: Path) -> tuple[object, ...]:
    return ("extract", "tiny", "--scale", "2m", "--data", data, "--batch-size", 4, "--home", home)


@pytest.mark.parametrize(
    ("mode", "most"), [("hang", 1), pytest.param("500", 3, marks=pytest.mark.full)], ids=["hang", "500"]
)
def test_a_run_waits_for_mlflow_one_timeout_at_most(
    mode: str,
    most: int,
    gate: Gate,
    inside: Any,
    benchmark: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that hangs is asked once and then left to ``sync``; one that answers 500 at once, a few times.

    What hangs fails as soon as the run waits for nothing else: how long it hangs does not matter.
    """
    close = Committer.close

    def drop_and_close(committer: Committer) -> Delivery:
        committer._closing = True
        gate.drop()
        return close(committer)

    monkeypatch.setattr(Committer, "close", drop_and_close)
    gate.mode = mode
    settings = {"MLFLOW_TRACKING_URI": gate.address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    ran = inside(*_extract(tmp_path, benchmark(4)), **settings, VLMPROBE_SHARD_PAIRS="4").ok()

    assert 1 <= gate.asked <= most
    assert ran.err.count("upload it later with 'vlmprobe sync'") == 1
    assert read_rows(tmp_path, "SELECT status FROM runs") == [("complete",)]
    assert read_rows(tmp_path, "SELECT count(*) FROM predictions") == [(48,)]


@pytest.mark.full
def test_a_server_that_hangs_with_the_default_settings(
    gate: Gate,
    shell: Any,
    benchmark: Callable[..., Path],
    wait_until: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Three tries of 20 s and the pauses between them: a little more than a minute after the last shard."""
    gate.mode = "hang"
    settings = {"MLFLOW_TRACKING_URI": gate.address}
    process = shell.start(*_extract(tmp_path, benchmark(4)), **settings)
    wait_until(lambda: list(tmp_path.glob("spool/*/*.safetensors")), process)
    began = time.monotonic()
    shell.finish(process).ok()
    waited = time.monotonic() - began
    with capsys.disabled():
        print(f"\na server that hangs, default settings: {waited:.1f} s from the last shard to the end")
    assert waited < 3 * 20 + 40


@pytest.mark.full
def test_a_server_killed_and_brought_back_shows_everything_once(
    shell: Any, benchmark: Callable[..., Path], wait_until: Any, tmp_path: Path
) -> None:
    """Killed in the middle of a run, back before its end: the run is complete; after ``sync`` MLflow is."""
    server = MlflowServer(tmp_path / "server")
    server.start()
    home = tmp_path / "home"
    settings = {"MLFLOW_TRACKING_URI": server.address, "VLMPROBE_SHARD_PAIRS": "16"}
    try:
        process = shell.start(*_extract(home, benchmark(60)), **settings)
        wait_until(lambda: len(list(home.glob("spool/*/*.safetensors"))) >= 3, process)
        server.kill()
        server.start()
        shell.finish(process).ok()
        shell("analyze", "tiny", "--home", home, **settings).ok()
        for _ in range(2):
            shell("sync", "--home", home, **settings).ok()
        ((run_id, status),) = read_rows(home, "SELECT run_id, status FROM runs")
        assert status == "complete"
        (shown,) = server.runs(run_id)
        stored = read_rows(home, "SELECT value FROM metrics WHERE value IS NOT NULL ORDER BY value")
        assert server.values(shown) == [value for (value,) in stored]
        spool = {path.name: path.read_bytes() for path in home.glob("spool/*/*.safetensors")}
        assert len(spool) == 23
        assert server.artifacts(shown) == spool
        shell("verify", "--home", home, **settings).ok()
    finally:
        server.kill()
