"""The faults: each disturbs a trial's run at moments that its chance chooses, and leaves it to be resumed."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..command_line import Shell
from ..holder import hold_database
from ..left_behind import read_rows
from ..postgres_server import VARIABLE, home_url
from .mlflow_server import Gate, MlflowServer
from .postgres_gate import PostgresGate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .trial import Trial

    Fault = Callable[[Trial], None]

__all__ = ["FAULTS", "can_mount", "missing"]

#: Seconds that a client waits for an answer here, and no second try: the default is 20 and two.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
_CLOCK = Path(__file__).with_name("shifted_clock.c")


def _disturbed_starts(trial: Trial, most: int = 8, *, begun: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Start the command up to ``most`` times, or twice in the short form; yield it at a random moment of each.

    What is done with it must end it. ``begun``: never before there is a shard.
    """
    least, most = ((most + 1) // 2, most) if trial.long else (1, 2)
    for _ in range(trial.chance.randint(least, most)):
        process = trial.start()
        if not trial.moment(process, begun=begun):
            trial.expect(Shell.finish(process), 0)
            return
        trial.injected += 1
        yield process


def sigkill(trial: Trial) -> None:
    """End the process as the kernel does when memory is short."""
    for process in _disturbed_starts(trial):
        process.kill()
        trial.expect(Shell.finish(process), -signal.SIGKILL)
    trial.resume()


def sigterm(trial: Trial) -> None:
    """End it as a scheduler does."""
    _interrupted(trial, signal.SIGTERM)


def ctrl_c(trial: Trial) -> None:
    """End it as a user does, who is impatient now and then."""
    _interrupted(trial, signal.SIGINT)


def _interrupted(trial: Trial, stop: signal.Signals) -> None:
    for process in _disturbed_starts(trial):
        process.send_signal(stop)
        if trial.chance.random() < 0.25 and not trial.ends_within(process, trial.chance.uniform(0, 0.5)):
            process.send_signal(stop)
        ran = Shell.finish(process)
        if ran.code in {-stop, 1} and "vlmprobe" not in ran.err:
            continue  # in its first moments Python itself answers: nothing of ours had begun
        # In its last moments the run is complete.
        trial.expect(ran, 130, 0)
    trial.resume()


def missing(fault: str, folder: Path) -> str | None:
    """Say what a fault needs that is not to be had on this machine; None if it can be injected."""
    if fault == "disk full" and not can_mount(folder):
        return "it mounts a small file system, which takes root"
    if fault == "one of two workers killed" and _n_gpus() == 1:
        return "where there are GPUs, it takes two"
    if fault == "Postgres away for a while" and VARIABLE not in os.environ:
        return "homes have a DuckDB file; --database postgres"
    if fault == "clock set back" and shutil.which("cc") is None:
        return "it compiles a few lines of C, which takes cc"
    return None


def _n_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def can_mount(folder: Path) -> bool:
    """Return whether a small file system can be mounted at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mount.returncode == 0:
        subprocess.run(["umount", folder], check=True)
    return mount.returncode == 0


def disk_full(trial: Trial) -> None:
    """Fill the home's disk, a small tmpfs, up to a few bytes; make room when the run has ended."""
    trial.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", trial.home], check=True)
    ballast = trial.home / "ballast"
    try:
        for process in _disturbed_starts(trial, most=6):
            free = os.statvfs(trial.home)
            left = trial.chance.choice((0, 0, 4096, trial.chance.randrange(200_000)))
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as stream:
                stream.write(bytes(max(free.f_bavail * free.f_frsize - left, 0)))
            # What is left may have been enough.
            trial.expect(Shell.finish(process), 1, 0)
            ballast.unlink()
        trial.resume()
        elsewhere = trial.folder / "copied"
        shutil.copytree(trial.home, elsewhere)
    finally:
        subprocess.run(["umount", "--lazy", trial.home], check=True)
    # For the comparison, which needs no small disk; shards are named by their whole path.
    shutil.copytree(elsewhere, trial.home, dirs_exist_ok=True)


def writes_refused(trial: Trial) -> None:
    """Let every write to a file fail (a limit on their size, set from outside) until the run has ended."""
    for process in _disturbed_starts(trial):
        soft = trial.chance.choice((0, 0, trial.chance.randrange(2**20)))
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
        trial.expect(Shell.finish(process), 1, 0)
    trial.resume()


@contextlib.contextmanager
def _server(trial: Trial) -> Iterator[MlflowServer]:
    server = MlflowServer(trial.folder / "server")
    server.start()
    trial.environ |= {"MLFLOW_TRACKING_URI": server.address, **_IMPATIENT}
    try:
        yield server
    finally:
        server.kill()


def _delivered(trial: Trial, server: MlflowServer) -> None:
    """Analyze and sync: MLflow then shows the run once, with every value once and every shard."""
    trial.expect(trial.run("analyze", "tiny"), 0)
    trial.need("sync")
    ((run_id,),) = read_rows(trial.home, "SELECT run_id FROM runs")
    shown = server.runs(run_id)
    if len(shown) != 1:
        trial.complaints.append(f"MLflow shows {len(shown)} runs of one")
        return
    stored = read_rows(trial.home, "SELECT value FROM metrics WHERE value IS NOT NULL ORDER BY value")
    if server.values(shown[0]) != [value for (value,) in stored]:
        trial.complaints.append("MLflow's values are not those of the database")
    if server.artifacts(shown[0]) != {path.name: path.read_bytes() for path in trial.spooled()}:
        trial.complaints.append("MLflow's shards are not those of the spool")


def mlflow_killed(trial: Trial) -> None:
    """Kill the MLflow server in the middle of a run; it comes back when the run is over."""
    with _server(trial) as server:
        process = trial.start()
        running = trial.moment(process)
        server.kill()
        trial.injected += running
        ran = Shell.finish(process)
        trial.expect(ran, 0)
        if "upload it later with 'vlmprobe sync'" not in ran.err:
            trial.complaints.append(f"it does not say that MLflow has to wait: {ran.err[-400:]}")
        server.start()
        _delivered(trial, server)
    trial.environ |= trial.undisturbed.store


def mlflow_killed_and_back(trial: Trial) -> None:
    """Kill the MLflow server in the middle of a run, and bring it back a while later, whether that is over or not."""
    with _server(trial) as server:
        process = trial.start()
        running = trial.moment(process, begun=True)
        server.kill()
        trial.injected += running
        trial.ends_within(process, 30 if trial.long else 2)
        server.start()
        trial.expect(Shell.finish(process), 0)
        _delivered(trial, server)
    trial.environ |= trial.undisturbed.store


def mlflow_answers_500(trial: Trial) -> None:
    """Let the server answer 500 from some moment on."""
    _broken_gate(trial, "500")


def mlflow_hangs(trial: Trial) -> None:
    """Let the server take requests from some moment on and never answer."""
    _broken_gate(trial, "hang")


def mlflow_answers_lost(trial: Trial) -> None:
    """Let the server do what it is asked from some moment on, while nobody gets its answers."""
    _broken_gate(trial, "lost")


def _broken_gate(trial: Trial, mode: str) -> None:
    with _server(trial) as server:
        gate = Gate(server.port)
        trial.environ["MLFLOW_TRACKING_URI"] = gate.address
        try:
            process = trial.start()
            for _ in range(trial.chance.randint(1, 3)):
                # Broken for a while, or to the end.
                if not trial.moment(process):
                    break
                gate.mode = mode
                trial.injected += 1
                if trial.chance.random() < 0.6:
                    trial.ends_within(process, trial.chance.uniform(0, 3))
                    gate.mode = "open"
            trial.expect(Shell.finish(process), 0)
            gate.mode = "open"
            _delivered(trial, server)
        finally:
            gate.close()
    trial.environ |= trial.undisturbed.store


def database_held_a_while(trial: Trial) -> None:
    """Let a foreign process hold the database for two minutes; the run goes on by itself."""
    process = trial.start()
    if trial.moment(process, begun=True):
        trial.injected += 1
        hold_database(trial.home, 120 if trial.long else 4).wait()
    trial.expect(Shell.finish(process), 0)


def database_held_throughout(trial: Trial) -> None:
    """Let a foreign process hold the database for the rest of the run, until someone ends the run."""
    for process in _disturbed_starts(trial, most=4, begun=True):
        holder = hold_database(trial.home, 600)
        try:
            trial.ends_within(process, trial.chance.uniform(1, 6))
            if trial.chance.random() < 0.5:
                process.kill()
                trial.expect(Shell.finish(process), -signal.SIGKILL)
            else:
                process.send_signal(signal.SIGINT)
                if not trial.ends_within(process, trial.chance.uniform(0.5, 2)):
                    process.send_signal(signal.SIGINT)
                # It cannot write how it ended: the third time is as good as a kill.
                if not trial.ends_within(process, 3):
                    process.kill()
                trial.expect(Shell.finish(process), 130, -signal.SIGKILL)
        finally:
            holder.kill()
            holder.wait()
    trial.resume()


def server_away(trial: Trial) -> None:
    """Let the database's server end its connections and refuse new ones for a while, now and then."""
    url = home_url(trial.home)
    assert url is not None
    gate = PostgresGate(url)
    trial.environ["VLMPROBE_DATABASE_URL"] = gate.url
    try:
        process = trial.start()
        for _ in range(trial.chance.randint(1, 4)):
            if not trial.moment(process, begun=True):
                break
            gate.shut()
            trial.injected += 1
            trial.ends_within(process, trial.chance.uniform(0.2, 60 if trial.long else 4))
            gate.open()
        trial.expect(Shell.finish(process), 0)
    finally:
        gate.close()
    del trial.environ["VLMPROBE_DATABASE_URL"]


def shard_truncated(trial: Trial) -> None:
    """Cut a shard short, with rows or without, delivered or not."""
    _damaged(trial, lambda data, place: data[:place])


def shard_flipped(trial: Trial) -> None:
    """Flip a bit of a shard, of its header or its states, with rows or without, delivered or not."""
    _damaged(trial, lambda data, place: data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])


def _damaged(trial: Trial, damage: Callable[[bytes, int], bytes]) -> None:
    delivered = trial.chance.random() < 0.5
    if not delivered:
        trial.environ |= {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    process = trial.start()
    orphans = trial.moment(process, begun=True) and trial.chance.random() < 0.5
    holder = hold_database(trial.home, 600) if orphans else None
    trial.ends_within(process, trial.chance.uniform(0, 1.5))
    process.kill()
    Shell.finish(process)
    if holder is not None:
        holder.kill()
        holder.wait()
    known = {str(trial.home / path) for (path,) in read_rows(trial.home, "SELECT path FROM shards")}
    shards = trial.spooled()
    for path in trial.chance.sample(shards, min(len(shards), trial.chance.randint(1, 4))):
        data = path.read_bytes()
        path.write_bytes(damage(data, trial.chance.randrange(len(data))))
        trial.injected += 1
    trial.environ |= trial.undisturbed.store
    hurt = [path for path in shards if str(path) in known and _is_hurt(trial, path)]
    if hurt:
        looked = trial.run("verify")
        if looked.code != 1 or not all(str(path) in looked.out for path in hurt):
            trial.complaints.append(f"verify does not see {hurt}: {looked.out[-500:]}{looked.err[-300:]}")
        trial.need("verify", "--repair")
    trial.resume()


def _is_hurt(trial: Trial, path: Path) -> bool:
    import hashlib

    # Whole in a database that homes share.
    stored = f"('{path.relative_to(trial.home)}', '{path}')"
    ((sha256,),) = read_rows(trial.home, f"SELECT sha256 FROM shards WHERE path IN {stored}")
    return hashlib.sha256(path.read_bytes()).hexdigest() != sha256


def benchmark_changed(trial: Trial) -> None:
    """Change a word of the benchmark between a kill and the next start; then take the change back."""
    trial.data = trial.folder / trial.undisturbed.data.name
    shutil.copy(trial.undisturbed.data, trial.data)
    whole = trial.data.read_text()
    for process in _disturbed_starts(trial, most=1):
        process.kill()
        Shell.finish(process)
    kept = len(trial.spooled())
    lines = whole.splitlines(keepends=True)
    del lines[trial.chance.randrange(1, len(lines))]
    trial.data.write_text("".join(lines))
    process = trial.start()
    if trial.moment(process, begun=True):
        trial.injected += 1
    process.kill()
    ran = Shell.finish(process)
    trial.expect(ran, -signal.SIGKILL, 0)
    if kept and f"{trial.data} has changed since run" not in ran.err:
        trial.complaints.append(f"the change is not told: {ran.err[-400:]}")
    trial.data.write_text(whole)
    trial.resume()
    trial.run("verify", "--repair")  # the run on the changed file was killed, and nobody goes on with it


def clock_set_back(trial: Trial) -> None:
    """Set the clock back by up to ten years, while the command runs, and before it is started again."""
    shift, library = trial.folder / "clock", trial.folder / "shifted_clock.so"
    shift.write_bytes(bytes(8))
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, _CLOCK, "-ldl"], check=True)
    trial.environ |= {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(shift)}
    for process in _disturbed_starts(trial, most=4):
        for further in range(trial.chance.randint(1, 3)):
            _set(shift, -int(10 ** trial.chance.uniform(2, 8.5)))
            trial.injected += further > 0
            if trial.ends_within(process, trial.chance.uniform(0, 0.7)):
                break
        process.kill()
        Shell.finish(process)
    trial.resume()


def _set(shift: Path, seconds: int) -> None:
    # In place, since running commands have the file mapped.
    with shift.open("r+b") as stream:
        stream.write(struct.pack("<q", seconds))


def worker_killed(trial: Trial) -> None:
    """Kill the process that a family with a Python of its own runs in."""
    (trial.folder / "vlmprobe.toml").write_text(f'[families.tiny]\npython = "{sys.executable}"\n')
    for process in _disturbed_starts(trial, most=6):
        workers = _workers_of(process)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        if not workers:
            trial.injected -= 1  # not started yet, or over already
        trial.expect(Shell.finish(process), *((1, 0) if workers else (0,)))
    trial.resume()


def one_of_two_workers_killed(trial: Trial) -> None:
    """Kill one of the processes of ``--devices cpu,cpu``, or of two GPUs: another takes its place."""
    trial.options = ("--devices", "cpu,cpu" if trial.undisturbed.device == "cpu" else "0,1")
    for process in _disturbed_starts(trial, most=2):
        workers = _workers_of(process)
        if workers:
            os.kill(trial.chance.choice(workers), signal.SIGKILL)
        else:
            trial.injected -= 1
        trial.expect(Shell.finish(process), *((1, 0) if workers else (0,)))
    trial.resume()


def _workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that a command started to serve its model."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if b"bootstrap.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


#: By the name that the table shows; how many trials of each the long form runs, with several injections in most.
FAULTS: dict[str, tuple[Fault, int]] = {
    "SIGKILL": (sigkill, 8),
    "SIGTERM": (sigterm, 4),
    "Ctrl-C": (ctrl_c, 4),
    "disk full": (disk_full, 4),
    "every write refused": (writes_refused, 4),
    "MLflow killed": (mlflow_killed, 4),
    "MLflow killed, back 30 s later": (mlflow_killed_and_back, 3),
    "MLflow answers 500": (mlflow_answers_500, 4),
    "MLflow hangs": (mlflow_hangs, 4),
    "MLflow's answers are lost": (mlflow_answers_lost, 4),
    "database held for two minutes": (database_held_a_while, 2),
    "database held for the whole run": (database_held_throughout, 4),
    "Postgres away for a while": (server_away, 6),
    "shard truncated": (shard_truncated, 5),
    "shard flipped by a bit": (shard_flipped, 6),
    "benchmark changed and back": (benchmark_changed, 4),
    "clock set back": (clock_set_back, 4),
    "worker killed": (worker_killed, 4),
    "one of two workers killed": (one_of_two_workers_killed, 3),
}
