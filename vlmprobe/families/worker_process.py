"""The process of another Python environment that runs a model: started, spoken to, ended."""

from __future__ import annotations

import fcntl
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vlmprobe.errors import WorkerError
from vlmprobe.families.base import error_of
from vlmprobe.families.worker import OutOfMemoryError, bootstrap
from vlmprobe.families.worker.wire import protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from vlmprobe.families.environments import Environment

__all__ = ["WorkerProcess"]

Answer = tuple[dict[str, Any], list[bytes]]
Result = TypeVar("Result")

_BOOTSTRAP = Path(bootstrap.__file__)
#: Variables that configure this process's Python; they must not reach the other one.
_OURS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_PIPE_BYTES = 2**20
_LAST_WORDS = 50
_GRACE_S = 5.0
#: Longest wait for the worker's greeting; it imports no package before that.
_GREETING_S = 60.0
_DOING = {
    "begin": "starting",
    "resolve": "starting",
    "load": "loading the checkpoint",
    "unembedding": "reading the output layer",
    "first_prompt": "writing the first prompt",
    "run_batch": "running a batch",
    "run_plain": "running a batch for its certificate",
    "run_exact": "running a batch in float32 for its certificate",
    "fitting_batch": "finding a batch size",
    "unload": "releasing the model",
}


class WorkerProcess:
    """The process, its pipes, and the last lines it wrote to stderr.

    It answers calls in the order in which they are sent. One thread sends them, so that a batch travels while the model
    works on another. The timeout of a call starts when its answer is the next one.
    """

    def __init__(self, family: str, target: str, environment: Environment) -> None:
        """Remember what to start; the first call starts it.

        Args:
            family: its name, for messages.
            target: where its code is, ``module:class``.
            environment: the Python to start.
        """
        self._family, self._target, self._environment = family, target, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[Answer | None] = queue.Queue()
        self._stderr: deque[str] = deque(maxlen=_LAST_WORDS)
        self._threads: list[threading.Thread] = []
        self._sending = ThreadPoolExecutor(1, "vlmprobe-send")
        self._reading = ThreadPoolExecutor(1, "vlmprobe-read")
        self._greeted: Future[bool] = Future()
        self._ended: str | None = None
        """How the process ended, once it did."""

    def call(self, name: str, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> Answer:
        """Send a call and wait for its answer; see :meth:`submit` for what it raises."""
        return self.submit(name, lambda: (header, blobs), read=lambda said, out: (said, out)).result()

    def submit(
        self,
        name: str,
        write: Callable[[], tuple[dict[str, Any], Sequence[bytes]]],
        *,
        read: Callable[[dict[str, Any], list[bytes]], Result],
    ) -> Future[Result]:
        """Send the call that ``write`` makes; the future holds ``read`` of its answer.

        Both run in threads of this object: turning a batch of images into bytes takes a while.

        The future may hold an error instead:
            WorkerError: the process died, hung, or its answer cannot be read.
            VlmprobeError: the fault that the family's code reported.
            OutOfMemoryError: the batch is too large for the device.
            RuntimeError: anything else that the model raised.
        """
        sent = self._sending.submit(self._send, name, write)
        return self._reading.submit(lambda: read(*self._receive(name, sent)))

    def _send(self, name: str, write: Callable[[], tuple[dict[str, Any], Sequence[bytes]]]) -> None:
        if self._ended is not None:
            return
        header, blobs = write()
        process = self._process or self._start()
        assert process.stdin is not None  # noqa: S101  (it was opened as a pipe)
        # A process that died is noticed when its reply is missing.
        with suppress(OSError, ValueError):
            protocol.send(process.stdin, {"call": name, **header}, blobs)

    def _receive(self, name: str, sent: Future[None]) -> Answer:
        timeout = self._environment.timeout
        if name == "load" and self._environment.load_timeout is not None:
            timeout = self._environment.load_timeout
        deadline = time.monotonic() + timeout
        answer: Answer | None = None
        if self._ended is None:
            try:
                # A large frame cannot be sent to a process that no longer reads. By then, a process that did
                # not start as a worker has been detected, too.
                sent.result(timeout=timeout + 2 * _GRACE_S)
                answer = self._answers.get(timeout=max(deadline - time.monotonic(), 0.0))
            except (queue.Empty, TimeoutError):
                self._ended = (
                    f"did not answer for {timeout:g} s and was killed (timeout of [families.{self._family}])"
                )
                self.close(kill=True)
        if answer is None:
            if self._ended is None:
                self._ended = _how_it_ended(self._wait())
            raise self._error(name, self._ended)
        said, out = answer
        if said.get("fault") == "memory":
            raise OutOfMemoryError(said["message"])
        if "fault" in said:
            raise error_of(said["fault"], said["message"])
        if "error" in said:
            raise RuntimeError(f"{said['error']}: {said['message']}")
        return said, out

    @property
    def is_usable(self) -> bool:
        """Whether the process has not ended; it need not have started."""
        process = self._process
        return self._ended is None and (process is None or process.poll() is None)

    def close(self, *, kill: bool = False) -> None:
        """Stop the process; a second call does nothing."""
        # What waits to be sent must not start it.
        self._ended = self._ended or "was stopped"
        for threads in (self._sending, self._reading):
            threads.shutdown(wait=False, cancel_futures=True)
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        if process.stdin is not None:
            # The process may be gone before everything was written.
            with suppress(OSError):
                process.stdin.close()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for thread in self._threads:
            thread.join(_GRACE_S)

    def _start(self) -> subprocess.Popen[bytes]:
        said = {
            "target": self._target,
            "pythonpath": list(self._environment.pythonpath),
            "plugin": _plugin(self._target),
        }
        try:
            self._process = subprocess.Popen(  # noqa: S603  (the interpreter that the user's own file names)
                [self._environment.python, "-s", str(_BOOTSTRAP), json.dumps(said)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={name: value for name, value in os.environ.items() if name not in _OURS},
                # The parent handles Ctrl-C: it finishes the running batch, then stops everything.
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerError(
                f"family {self._family!r}: cannot start {self._environment.python}: {error.strerror}; "
                f"fix python in [families.{self._family}] of vlmprobe.toml"
            ) from error
        for pipe in (self._process.stdin, self._process.stdout):
            _widen(pipe)
        self._threads = [
            threading.Thread(target=work, args=(self._process,), daemon=True)
            for work in (self._read_answers, self._read_stderr)
        ]
        for thread in self._threads:
            thread.start()
        self._await_greeting(self._process)
        return self._process

    def _await_greeting(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the greeting before sending anything; a program that is not a worker might run it."""
        try:
            if self._greeted.result(min(_GREETING_S, self._environment.timeout)):
                return
            how = _how_it_ended(process.wait(_GRACE_S))
        except subprocess.TimeoutExpired:
            how = "did not start as a worker process"
        except TimeoutError:
            how = "printed nothing"
        process.kill()
        process.wait()
        for thread in self._threads:
            thread.join(_GRACE_S)
        words = f" ({self._stderr[-1][:300]})" if self._stderr else ""
        self._ended = (
            f"{how}{words}; it cannot run this family's models; fix python in [families.{self._family}] "
            "of vlmprobe.toml"
        )
        raise WorkerError(f"family {self._family!r}: {self._environment.python} {self._ended}")

    def _read_answers(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101  (it was opened as a pipe)
        try:
            greeting = process.stdout.read(len(bootstrap.GREETING))
        except (OSError, ValueError):
            greeting = b""
        self._greeted.set_result(greeting == bootstrap.GREETING)
        while True:
            try:
                answer = protocol.receive(process.stdout)
            except (protocol.ProtocolError, OSError, ValueError):
                answer = None
            self._answers.put(answer)
            if answer is None:
                return

    def _read_stderr(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None  # noqa: S101  (it was opened as a pipe)
        for line in process.stderr:
            text = line.decode("utf-8", "replace").strip()
            if text:
                self._stderr.append(text)

    def _wait(self) -> int:
        process = self._process
        assert process is not None  # noqa: S101  (a call is under way)
        try:
            return process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            self.close()

    def _error(self, call: str, how: str) -> WorkerError:
        words = f"; its last output: {self._stderr[-1][:300]}" if self._stderr else ""
        error = WorkerError(
            f"family {self._family!r}: the process of {self._environment.python} {how} while {_DOING[call]}{words}; "
            "finished work is kept; rerun the same command to resume"
        )
        for line in self._stderr:
            error.add_note(line)
        return error


def _widen(pipe: IO[bytes] | None) -> None:
    """Let a pipe hold a megabyte where the system can: a batch of images has sixty; each piece wakes two threads."""
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
    if pipe is not None and set_size is not None:
        with suppress(OSError):
            fcntl.fcntl(pipe.fileno(), set_size, _PIPE_BYTES)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    perhaps = " (perhaps out of memory)" if name == "SIGKILL" else ""
    return f"was killed by {name}{perhaps}"


def _plugin(target: str) -> tuple[str, str] | None:
    """Return name and file of a plug-in's package; None for vlmprobe's own code, which is sent anyway."""
    package = target.partition(":")[0].partition(".")[0]
    spec = None if package == "vlmprobe" else find_spec(package)
    return None if spec is None or spec.origin is None else (package, spec.origin)
