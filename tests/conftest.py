"""The command line as users run it, the demo's benchmark, and what a home holds afterwards."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from .command_line import PATIENCE_S, InProcess, Ran, Shell
from .left_behind import read_rows

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Started in the background (nohup make test &) a shell has it ignored, and each child would inherit that: those that
# Ctrl-C is to stop would go on.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: The files whose tests read the study. It is made once a process, so with several (``-n 2``) one takes them all.
READ_STUDY = frozenset(
    {
        "tests/cli/test_output.py",
        "tests/cli/test_sql_and_report.py",
        "tests/workflows/test_foreign_lock.py",
        "tests/workflows/test_kill_and_resume.py",
        "tests/workflows/test_own_environment.py",
    }
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the study's tests first where processes share the tests: they take longest, the rest fills up."""
    found = {_file(item.nodeid) for item in items if "study_begun" in getattr(item, "fixturenames", ())}
    if not found <= READ_STUDY:
        raise pytest.UsageError(f"add to READ_STUDY of tests/conftest.py: {', '.join(found - READ_STUDY)}")
    if _is_shared():
        items.sort(key=lambda item: _file(item.nodeid) not in READ_STUDY)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file together, since they share its fixtures, and those of READ_STUDY's files.

    xdist's own groups (``--dist loadgroup``) are not what they say with pytest 9.2: they are written into an
    attribute that it no longer reads.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "study" if _file(nodeid) in READ_STUDY else _file(nodeid)

    # The order of the tests is ours: xdist would begin with the file that has the most.
    config.option.loadscopereorder = False
    return Scheduling(config, log)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _is_shared() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty working directory: no mlflow.env, no vlmprobe.toml."""
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the setting that names one MLflow store for all homes: making a new one takes seconds."""
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"}


@pytest.fixture(scope="session")
def shell(workplace: Path) -> Shell:
    """Run commands as processes."""
    return Shell(workplace)


@pytest.fixture(scope="session")
def inside(workplace: Path) -> Shell:
    """Run commands within the test process, beside others that run as processes."""
    return InProcess(workplace)


@pytest.fixture(scope="session", params=["in-process", pytest.param("process", marks=pytest.mark.full)])
def vlmprobe(request: pytest.FixtureRequest, workplace: Path) -> Shell:
    """Run commands within the test process; the full tier repeats each test with processes."""
    return Shell(workplace) if request.param == "process" else InProcess(workplace)


@pytest.fixture(scope="session")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Draw the demo's benchmark with so many pairs a category; the same one twice is drawn once."""
    from vlmprobe.demo import build_benchmark

    drawn: dict[tuple[int, int], Path] = {}

    def draw(pairs_per_category: int, seed: int = 3) -> Path:
        key = (pairs_per_category, seed)
        if key not in drawn:
            folder = tmp_path_factory.mktemp(f"benchmark-{pairs_per_category}-{seed}")
            drawn[key] = build_benchmark(folder, pairs_per_category=pairs_per_category, seed=seed).tsv
        return drawn[key]

    return draw


@pytest.fixture(scope="session")
def rows() -> Callable[[Path, str], list[tuple[Any, ...]]]:
    """Ask a home's database through DuckDB alone, without vlmprobe's code."""
    return read_rows


@pytest.fixture(scope="session")
def committed() -> Callable[[Path], int]:
    """Count the shards whose rows are in a home's database, which may not be there yet."""

    def count(home: Path) -> int:
        import duckdb

        try:
            return int(read_rows(home, "SELECT count(*) FROM shards")[0][0])
        except duckdb.Error:
            return 0

    return count


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Wait for a condition while a process is running, looking at it often."""

    def wait(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            assert process is None or process.poll() is None, process.communicate()[1]
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def early_study(request: pytest.FixtureRequest) -> None:
    """Start the study beside tests that do not read it, unless another process may be the one that makes it."""
    if not _is_shared():
        request.getfixturevalue("study_begun")


@dataclass(frozen=True, slots=True)
class Study:
    """An undisturbed study: two scales extracted, analyzed and compared by ``vlmprobe run``."""

    home: Path
    data: Path
    out: Path
    ran: Ran


@pytest.fixture(scope="session")
def study_begun(
    shell: Shell,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Study, subprocess.Popen[str]]]:
    """Start the study early, so that it is made beside the tests that do not need it."""
    folder, data = tmp_path_factory.mktemp("study"), benchmark(16)
    arguments = ("run", "tiny", "--data", data, "--scale", "vanilla", "--scale", "2m", "--batch-size", 8)
    process = shell.start(
        *arguments,
        *("--home", folder / "home", "--out", folder / "report", "--json"),
        VLMPROBE_SHARD_PAIRS="16",
        **mlflow_store,
    )
    yield Study(folder / "home", data, folder / "report", Ran(-1, "", "")), process
    if process.poll() is None:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def study(study_begun: tuple[Study, subprocess.Popen[str]]) -> Study:
    """Run scales vanilla and 2m on 96 pairs, in shards of 16; tests read it and change nothing."""
    begun, process = study_begun
    return replace(begun, ran=Shell.finish(process).ok())
