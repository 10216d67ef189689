"""A Slurm of three nodes on one machine: each has a name, processes and process numbers of its own, and a home.

Its daemons are Debian's; their files, ports and key are those of this box alone, so that a Slurm that is there already
is left in peace. A node that is killed takes all its processes along at once, as if the power went.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..faults.mlflow_server import free_port
from ..hosts import Host, missing_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["NODES", "SlurmBox", "slurm_box"]

NODES = ("n1", "n2", "n3")
#: Debian's package ``slurm-wlm`` has all of them but the first, which is in ``munge``.
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
_PATIENCE_S = 120.0
_CONF = """\
ClusterName=box
SlurmctldHost=head(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/prolog
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=30
MessageTimeout=60
MinJobAge=3600
KillWait=30
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
{nodes}
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""
#: A node's jobs have a home of their own, in a folder that all nodes see.
_PROLOG = """\
#!/bin/sh
echo "export VLMPROBE_HOME={homes}/$(hostname)"
"""


class SlurmBox:
    """Controller and nodes."""

    def __init__(self, folder: Path, homes: Path) -> None:
        """Write what its daemons are to read; none is started yet.

        Args:
            folder: holds what belongs to Slurm; sockets are in it, so its path has to be short.
            homes: holds a folder for each node, which is the home of vlmprobe in its jobs.
        """
        self._folder, self._homes = folder, homes
        self.conf = folder / "slurm.conf"
        self.environ = {"SLURM_CONF": str(self.conf), "PATH": _PATH}
        self._hosts: dict[str, Host] = {}
        (folder / "state").mkdir()
        (folder / "log").mkdir()
        prolog = folder / "prolog"
        prolog.write_text(_PROLOG.format(homes=homes), encoding="utf-8")
        prolog.chmod(0o755)
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={free_port()} CPUs=1 RealMemory=1000"
            for name in NODES
        )
        self.conf.write_text(
            _CONF.format(port=free_port(), folder=folder, nodes=nodes, names=",".join(NODES)),
            encoding="utf-8",
        )
        self._munged: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start all daemons; return once all nodes are up."""
        self._munged = self._start_munged()
        self._boot("head", "slurmctld", "-D", "-f", self.conf)
        for name in NODES:
            self.bring_back(name)
        self.wait(lambda: self.idle() == set(NODES))

    def _start_munged(self) -> subprocess.Popen[bytes]:
        folder = self._folder
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        with (folder / "log" / "munged").open("ab") as log:
            process = subprocess.Popen(
                [
                    *("munged", "--foreground", "--force", "--num-threads=2", f"--key-file={key}"),
                    *(f"--socket={folder / 'munge.socket'}", f"--pid-file={folder / 'munged.pid'}"),
                    *(f"--log-file={folder / 'log' / 'munged'}", f"--seed-file={folder / 'munged.seed'}"),
                ],
                env={"PATH": _PATH},
                stdout=log,
                stderr=log,
            )
        self.wait((folder / "munge.socket").exists)
        return process

    def _boot(self, name: str, *daemon: object) -> None:
        self._hosts[name] = host = Host(self._folder / "hosts", name)
        host.serve(self._folder / "log" / name, *daemon, **self.environ)

    def bring_back(self, name: str) -> None:
        """Start a node, or one that was killed: with new processes, and the same name, port and files."""
        self._boot(name, "slurmd", "-D", "-N", name, "-f", self.conf)

    def kill(self, name: str) -> None:
        """SIGKILL everything that runs on a node."""
        self._hosts[name].kill()

    def home(self, name: str) -> Path:
        """Return the home of a node's jobs."""
        return self._homes / name

    def ask(self, *command: str) -> str:
        """Run one of Slurm's programs; return what it prints."""
        done = subprocess.run(
            command, env={**os.environ, **self.environ}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def idle(self) -> set[str]:
        """Return the nodes that answer and have nothing to do."""
        try:
            return self._in_state("idle")
        except AssertionError:
            return set()  # the controller does not answer yet

    def down(self) -> set[str]:
        """Return the nodes that Slurm knows to be gone."""
        return self._in_state("down*") | self._in_state("down")

    def _in_state(self, wanted: str) -> set[str]:
        lines = self.ask("sinfo", "--noheader", "--Node", "--format=%N %t").splitlines()
        return {name for name, state in map(str.split, lines) if state == wanted}

    def jobs(self) -> list[tuple[str, str, str]]:
        """Return number, name and state of the jobs that are not over, an array's tasks each."""
        lines = self.ask("squeue", "--noheader", "--array", "--format=%i %j %T").splitlines()
        return [(number, name, state) for number, name, state in map(str.split, lines)]

    def wait(self, condition: Callable[[], bool], seconds: float = _PATIENCE_S) -> float:
        """Wait until something is so; return how many seconds that took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, f"waited in vain\n{self._logs()}"
            time.sleep(0.1)
        return time.monotonic() - began

    def _logs(self) -> str:
        """Return the last lines of each daemon's."""
        return "\n".join(
            f"{path.name}: {line}"
            for path in sorted((self._folder / "log").iterdir())
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        )

    def close(self) -> None:
        """End all daemons and jobs at once."""
        for host in self._hosts.values():
            host.kill()
        if self._munged is not None:
            self._munged.kill()
            self._munged.wait()


@contextmanager
def slurm_box(homes: Path) -> Iterator[SlurmBox]:
    """Start a Slurm; skip where its programs or namespaces cannot be had."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        pytest.skip(f"no Slurm is installed ({', '.join(missing)}); .ci/slurm installs Debian's")
    if os.getuid() != 0:
        pytest.skip("the daemons of Slurm that start jobs of others need root")
    if (why := missing_hosts()) is not None:
        pytest.skip(why)
    # Not in pytest's own folder: the path of a socket has room for a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="vlmprobe-slurm-"))
    box = SlurmBox(folder, homes)
    try:
        box.start()
        yield box
    finally:
        box.close()
        shutil.rmtree(folder, ignore_errors=True)
