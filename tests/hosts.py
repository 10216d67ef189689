"""Hosts on one machine: each has a name, processes and process numbers of its own, which others cannot look at.

They are namespaces of Linux, so that nothing of vlmprobe has to be patched: what tells a host or a process from
another there tells them here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .command_line import Shell

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_KINDS = ("--uts", "--pid", "--mount")
#: Whoever is not root may do this as root of a namespace of users, where the kernel lets them.
_AS_ROOT = () if os.getuid() == 0 else ("--user", "--map-root-user")
_UNSHARE = ("unshare", *_AS_ROOT, *_KINDS, "--fork", "--mount-proc")
_ENTER = ("nsenter", *_AS_ROOT[:1], *_KINDS)


def missing_hosts() -> str | None:
    """Return why there can be no hosts here; None if there can."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "unshare and nsenter (util-linux) are not installed"
    tried = subprocess.run(
        [*_UNSHARE, "hostname", "n0"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


class Host(Shell):
    """Runs commands on a host with a home of its own; it stays up until it is killed."""

    def __init__(self, folder: Path, name: str, **environ: str) -> None:
        """Start it.

        Args:
            folder: holds what hosts have by themselves, each in a folder of its name.
            name: what it calls itself.
            environ: settings of all its commands.
        """
        if (why := missing_hosts()) is not None:
            pytest.skip(why)
        self.name, own = name, folder / name
        self._started: list[subprocess.Popen[str]] = []
        self._serving: list[subprocess.Popen[bytes]] = []
        own.mkdir(parents=True, exist_ok=True)
        self.home = own / "home"
        super().__init__(own, **environ)
        self._up = subprocess.Popen(
            [*_UNSHARE, "--kill-child", "sh", "-c", 'hostname "$0" && echo up && exec sleep infinity', name],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._up.stdout is not None
        assert self._up.stdout.readline() == "up\n"
        (first,) = _children(self._up.pid)
        # The first process takes all others along when it ends, as the kernel does it for a machine.
        self.prefix = (*_ENTER, f"--target={first}", f"--wd={own}", "--")

    def run(self, *command: object, **environ: str) -> subprocess.Popen[str]:
        """Start a command in this host's home."""
        process = self.start(*command, "--home", self.home, **environ)
        self._started.append(process)
        return process

    def serve(self, log: Path, *program: object, **environ: str) -> subprocess.Popen[bytes]:
        """Start another program, which ends with the host at the latest; what it says is added to a file."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*self.prefix, *map(str, program)],
                env=self.environ(**environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._serving.append(process)
        return process

    def commands(self) -> list[int]:
        """Return the numbers, out here, of the commands that run: what was returned for one only waits for it."""
        return [
            child for process in self._started if process.poll() is None for child in _children(process.pid)
        ]

    def processes(self) -> list[int]:
        """Return their numbers, and those of everything that they started."""
        found = self.commands()
        for pid in found:
            found += [child for child in _children(pid) if child not in found]
        return found

    def stop(self) -> None:
        """SIGSTOP its commands: they neither work nor renew anything, as where a host sleeps."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT them, and what waits for them, which stopped as well."""
        waiting = [each.pid for each in self._started if each.poll() is None]
        for pid in (*self.processes(), *waiting):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL every process of it at once, as if the power went."""
        self._up.kill()
        self._up.wait()
        if self._up.stdout is not None:
            self._up.stdout.close()
        for process in (*self._started, *self._serving):
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def _children(pid: int) -> list[int]:
    """Return what any of a process's threads started and did not collect."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found
