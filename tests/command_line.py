"""The command line as users run it: as a process, or within this one."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .postgres_server import home_url

#: Two threads would share sums differently from run to run, and a test machine runs tests beside each other.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TERM": "dumb", "COLUMNS": "200"}
PATIENCE_S = 240.0
# Read once, when torch and huggingface_hub are imported: too early for what runs commands within this process.
os.environ.update({name: ENVIRONMENT[name] for name in ("OMP_NUM_THREADS", "HF_HUB_OFFLINE")})


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left: its exit code, its stdout, its stderr."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines of stderr that tell an error."""
        return [line for line in self.err.splitlines() if line.startswith("error:")]

    def ok(self) -> Ran:
        """Return itself, or fail with what it said."""
        assert self.code == 0, self.err
        return self


class Shell:
    """Starts ``python -m vlmprobe`` in a folder of its own, with no setting of the developer's."""

    prefix: tuple[str, ...] = ()
    """What starts the interpreter, if it is not started straight."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self._environ = environ

    def environ(self, **more: str) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("VLMPROBE_", "MLFLOW_"))
        }
        return kept | ENVIRONMENT | self._environ | more

    def __call__(self, *arguments: object, **environ: str) -> Ran:
        """Run a command to its end."""
        process = self.start(*arguments, **environ)
        return self.finish(process)

    def start(self, *arguments: object, **environ: str) -> subprocess.Popen[str]:
        """Start a command and return at once; ``finish`` collects it."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "vlmprobe", *map(str, arguments)],
            cwd=self.folder,
            env=self.environ(**self._database(arguments) | environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def _database(arguments: tuple[object, ...]) -> dict[str, str]:
        """Return the setting that gives a home a Postgres of its own, where the tests use one."""
        if "--home" not in arguments:
            return {}
        url = home_url(Path(str(arguments[arguments.index("--home") + 1])))
        return {} if url is None else {"VLMPROBE_DATABASE_URL": url}

    def start_behind(self, *arguments: object, **environ: str) -> subprocess.Popen[str]:
        """Start a command that gets out of this process's way: on a busy machine, too, it is caught at work."""
        process = self.start(*arguments, **environ)
        # Not the lowest: beside other people's work it would not come to its turn at all.
        os.setpriority(os.PRIO_PROCESS, process.pid, min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19))
        return process

    @staticmethod
    def finish(process: subprocess.Popen[str]) -> Ran:
        """Wait for a command and return what it left."""
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"still running after {PATIENCE_S:.0f} s: {err}")
        return Ran(process.returncode, out, err)


class InProcess(Shell):
    """The same face without a new interpreter: the quick tests' way, a tenth of the time."""

    def __call__(self, *arguments: object, **environ: str) -> Ran:
        from vlmprobe.cli.main import main

        out, err = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        # Before ours is gone, which says whether the tests are on Postgres.
        its_own = self.environ(**self._database(arguments) | environ)
        handlers = {stop: signal.getsignal(stop) for stop in (signal.SIGINT, signal.SIGTERM)}
        os.environ.clear()
        os.environ.update(its_own)
        try:
            with (
                contextlib.chdir(self.folder),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                pytest.raises(SystemExit) as ended,
            ):
                main([str(argument) for argument in arguments])
        finally:
            os.environ.clear()
            os.environ.update(before)
            for stop, handler in handlers.items():
                signal.signal(stop, handler)
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())
