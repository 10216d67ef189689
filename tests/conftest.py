"""The command line as users run it, the demo's benchmark, and what a home holds afterwards."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from .command_line import ENVIRONMENT, PATIENCE_S, InProcess, Ran, Shell
from .left_behind import read_rows
from .postgres_server import VARIABLE, Server, postgres_server, running
from .worker_death import pytest_configure, pytest_handlecrashitem  # noqa: F401 - hooks

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Started in the background (nohup make test &) a shell has it ignored, and each child would inherit that: those that
# Ctrl-C is to stop would go on.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast examples come says how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

#: Session fixture -> the files whose tests use it. It is made once a process, so with several (``-n 2``) one takes
#: them all. Fixtures and folders are in the order in which they are begun: what takes longest first, so that no
#: process is left with it at the end.
SHARED = {
    # Clusters of this machine would be in each other's way.
    "local_study": {
        "tests/cluster/test_ray.py",
        "tests/cluster/test_slurm.py",
    },
    "postgres": {
        "tests/faults/test_hosts.py",
        "tests/pairs/test_prompts.py",
        "tests/store/test_team_store.py",
        "tests/verification/test_mlflow_servers.py",
        "tests/verification/test_servers.py",
        "tests/workflows/test_two_hosts.py",
        "tests/store/postgres/test_attacks.py",
        "tests/store/postgres/test_both_databases.py",
        "tests/store/postgres/test_commands.py",
        "tests/store/postgres/test_copying.py",
        "tests/store/postgres/test_demos_rows.py",
        "tests/store/postgres/test_kept_rows.py",
        "tests/store/postgres/test_leases.py",
        "tests/store/postgres/test_many_runs.py",
        "tests/store/postgres/test_migrations.py",
        "tests/store/postgres/test_part_leases.py",
        "tests/store/postgres/test_same_study.py",
        "tests/store/postgres/test_server_away.py",
        "tests/store/postgres/test_traps.py",
        "tests/store/postgres/test_writers.py",
    },
    "study_home": {
        "tests/cli/test_compare.py",
        "tests/cli/test_output.py",
        "tests/cli/test_sql_and_report.py",
        "tests/library/test_commands.py",
        "tests/library/test_figure.py",
        "tests/library/test_page.py",
        "tests/library/test_pair.py",
        "tests/library/test_states.py",
        "tests/library/test_workspace.py",
        "tests/study/test_many_runs.py",
        "tests/workflows/test_foreign_lock.py",
        "tests/workflows/test_kill_and_resume.py",
        "tests/workflows/test_leaks.py",
        "tests/workflows/test_own_environment.py",
        "tests/workflows/test_parts.py",
        "tests/workflows/test_reproduce.py",
        "tests/workflows/test_run.py",
    },
    "quad_study": {
        "tests/workflows/test_exchange.py",
        "tests/workflows/test_export_directions.py",
        "tests/workflows/test_plot.py",
        "tests/workflows/test_quads.py",
        "tests/workflows/test_round_trip.py",
    },
    "panel": {
        "tests/store/postgres/test_demos_rows.py",
        "tests/library/test_templates.py",
        "tests/workflows/test_over_templates.py",
        "tests/workflows/test_templates.py",
    },
}
LONG_FOLDERS = ("tests/workflows/", "tests/faults/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first where processes share the tests; the rest fills up."""
    for fixture, files in SHARED.items():
        found = {_file(item.nodeid) for item in items if fixture in getattr(item, "fixturenames", ())}
        if not found <= files:
            raise pytest.UsageError(
                f"add to SHARED[{fixture!r}] of tests/conftest.py: {', '.join(found - files)}"
            )
    if VARIABLE in os.environ:
        skip = pytest.mark.skip(reason="it is about a DuckDB file")
        for item in items:
            if item.get_closest_marker("of_a_file") is not None:
                item.add_marker(skip)
    if _is_shared():
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    file = _file(item.nodeid)
    groups = [file in files for files in SHARED.values()]
    return [*groups, file.startswith(LONG_FOLDERS), True].index(True)


def pytest_collection_finish() -> None:
    """Let garbage collection pass by the million objects that are loaded by now: a look at all takes half a second."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file together, since they share its fixtures, and those of the files in SHARED.

    xdist's own groups (``--dist loadgroup``) are not what they say with pytest 9.2: they are written into an
    attribute that it no longer reads.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = _file(nodeid)
            return next((fixture for fixture, files in SHARED.items() if file in files), file)

    # The order of the tests is ours: xdist would begin with the file that has the most.
    config.option.loadscopereorder = False
    return Scheduling(config, log)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _is_shared() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.fixture(scope="session", autouse=True)
def _done_here() -> Iterator[None]:
    """Draw and analyze in the test's own process: to start others takes longer, and tests share the processors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vlmprobe.figures.parallel.processors", lambda: 1)
        patch.setattr("vlmprobe.workflows.scales.processors", lambda: 1)
        patch.setattr("vlmprobe.lanes.processors", lambda: 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remember hashes in a folder of the tests, in this process and in commands: the developer's stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("cache"))
        patch.setenv("VLMPROBE_CACHE", folder)
        patch.setitem(ENVIRONMENT, "VLMPROBE_CACHE", folder)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Start a Postgres of this process's own; skip where none is installed."""
    with postgres_server() as server:
        running.append(server)
        yield server
        running.clear()


@pytest.fixture(scope="session", autouse=True)
def _homes_on_postgres(request: pytest.FixtureRequest) -> None:
    """Start it for all tests where the environment says so (``make test-postgres``)."""
    if VARIABLE in os.environ:
        request.getfixturevalue("postgres")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty working directory: no mlflow.env, no vlmprobe.toml."""
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one new MLflow store for all processes, to be copied: its own migrations take seconds."""
    from vlmprobe.settings import Settings
    from vlmprobe.store.engine import file_lock
    from vlmprobe.store.tracking import Tracker

    base = tmp_path_factory.getbasetemp()
    home = (base.parent if _is_shared() else base) / "empty-mlflow"
    home.mkdir(exist_ok=True)
    with file_lock(home / "made.lock"):
        # Where it is there already, this opens it.
        Tracker(Settings.load(home, experiment="another study", environ={}, folder=home)).experiment_id()
    return home / "mlflow.db"


@pytest.fixture(scope="session")
def mlflow_store(empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the setting that names one MLflow store for all homes of this process."""
    store = shutil.copy(empty_mlflow, tmp_path_factory.mktemp("mlflow"))
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}


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


@dataclass(frozen=True, slots=True)
class Study:
    """An undisturbed study: two scales extracted, analyzed and compared by ``vlmprobe run``."""

    home: Path
    data: Path
    out: Path
    ran: Ran


@pytest.fixture(scope="session")
def study_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the study is made. Its name tells it from the studies of tests/store, which are rows by hand."""
    return tmp_path_factory.mktemp("study") / "home"


@pytest.fixture(scope="session")
def study(
    study_home: Path, inside: Shell, benchmark: Callable[..., Path], mlflow_store: dict[str, str]
) -> Study:
    """Run scales vanilla and 2m on 96 pairs, in shards of 16; tests read it and change nothing."""
    data, out = benchmark(16), study_home.with_name("report")
    arguments = ("run", "tiny", "--data", data, "--scale", "vanilla", "--scale", "2m", "--batch-size", 8)
    where = ("--home", study_home, "--out", out, "--json")
    ran = inside(*arguments, *where, VLMPROBE_SHARD_PAIRS="16", **mlflow_store)
    return Study(study_home, data, out, ran.ok())


@dataclass(frozen=True, slots=True)
class Panel:
    """A home in which 2m was asked under three templates and vanilla under its own, all analyzed."""

    home: Path
    data: Path
    extracted: Any
    """What the extraction of 2m left."""
    analyzed: Any


@pytest.fixture(scope="session")
def panel(
    inside: Any,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Panel:
    """Extract and analyze once; the tests read it."""
    home, data = tmp_path_factory.mktemp("templates"), benchmark(4)

    def run(*command: object) -> Any:
        return inside(*command, "--home", home, "--experiment", "templates", **mlflow_store).ok()

    options = ("--data", data, "--boxes", data.parent / "boxes.json", "--batch-size", 8)
    run("extract", "tiny", "--scale", "vanilla", *options)
    templates = ("--templates", "published,options-swapped,yes-no")
    extracted = run("extract", "tiny", "--scale", "2m", *options, *templates)
    return Panel(home, data, extracted, run("analyze"))
