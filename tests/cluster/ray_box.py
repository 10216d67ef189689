"""A Ray cluster on one machine: a head that runs no task, and three nodes with processes of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..command_line import Shell
from ..faults.mlflow_server import free_port
from ..hosts import Host, missing_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RAY_NODES", "RayBox", "ray_box"]

RAY_NODES = ("r1", "r2", "r3")
_PATIENCE_S = 180.0
_ENVIRON = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
#: Who asks is a driver of the cluster; numbers of nodes and processors are all that it wants.
_COUNT = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
print(sum(node["Alive"] for node in ray.nodes()))
"""


class RayBox:
    """Head and nodes."""

    def __init__(self, folder: Path, homes: Path, **environ: str) -> None:
        """Store the arguments; nothing is started yet.

        Args:
            folder: holds what belongs to Ray; sockets are in it, so its path has to be short.
            homes: holds a folder for each node, which is the home of vlmprobe in its tasks.
            environ: what is set on each node.
        """
        self._folder, self._homes = folder, homes
        self._environ = _ENVIRON | environ
        self.address = f"127.0.0.9:{free_port()}"
        self._hosts: dict[str, Host] = {}
        self._head: subprocess.Popen[bytes] | None = None
        (folder / "log").mkdir()

    def start(self) -> None:
        """Start all of it; return once the nodes have joined."""
        # Where drivers are, too: they find the head by its process.
        with (self._folder / "log" / "head").open("ab") as log:
            ip, _, port = self.address.partition(":")
            self._head = subprocess.Popen(
                [
                    *(*self._ray, "start", "--head", f"--port={port}", f"--node-ip-address={ip}", "--block"),
                    *("--num-cpus=0", "--include-dashboard=false", "--disable-usage-stats"),
                    *("--object-store-memory=80000000", f"--temp-dir={self._folder / 'head'}"),
                ],
                env=Shell(self._folder, **self._environ).environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _PATIENCE_S
        while self._n_alive() < 1:
            assert time.monotonic() < deadline, self._logs()
        for number, name in enumerate(RAY_NODES):
            self._hosts[name] = host = Host(self._folder / "hosts", name, **self._environ)
            host.serve(
                self._folder / "log" / name,
                *(*self._ray, "start", f"--address={self.address}", "--block", "--num-cpus=1"),
                *(f"--node-ip-address=127.0.0.{11 + number}", "--object-store-memory=80000000"),
                f"--temp-dir={self._folder / name}",
                VLMPROBE_HOME=str(self._homes / name),
            )
        while self._n_alive() < 1 + len(RAY_NODES):
            assert time.monotonic() < deadline, self._logs()

    @property
    def _ray(self) -> tuple[str, ...]:
        return (sys.executable, "-m", "ray.scripts.scripts")

    def _n_alive(self) -> int:
        done = subprocess.run(
            [sys.executable, "-c", _COUNT, self.address],
            env=Shell(self._folder, **self._environ).environ(),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        return int(done.stdout) if done.returncode == 0 else 0

    def kill(self, name: str) -> None:
        """SIGKILL everything that runs on a node."""
        self._hosts[name].kill()

    def home(self, name: str) -> Path:
        """Return the home of a node's tasks."""
        return self._homes / name

    def _logs(self) -> str:
        return "\n".join(
            f"{path.name}: {line}"
            for path in sorted((self._folder / "log").iterdir())
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        )

    def close(self) -> None:
        """End all of it."""
        for host in self._hosts.values():
            host.kill()
        if self._head is not None:
            # With --block it ends what it started.
            self._head.terminate()
            try:
                self._head.wait(30)
            except subprocess.TimeoutExpired:
                self._head.kill()
                self._head.wait()


@contextmanager
def ray_box(homes: Path, **environ: str) -> Iterator[RayBox]:
    """Start a Ray cluster; skip where Ray is not installed, or there can be no hosts."""
    pytest.importorskip("ray", reason="Ray is not installed; 'make test-all' installs it")
    if (why := missing_hosts()) is not None:
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    box = RayBox(folder, homes, **environ)
    try:
        box.start()
        yield box
    finally:
        box.close()
        shutil.rmtree(folder, ignore_errors=True)
