"""The process of another Python environment that runs a model: started, spoken to, ended."""

from __future__ import annotations

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vlmprobe.errors import WorkerError
from vlmprobe.families.base import error_of
from vlmprobe.families.child_process import end_child, how_it_ended, signal_group, start_child
from vlmprobe.families.registry import plugin_package
from vlmprobe.families.worker import OutOfMemoryError, bootstrap
from vlmprobe.families.worker.wire import protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmprobe.families.environments import Environment

__all__ = ["WorkerProcess"]

Answer = tuple[dict[str, Any], list[bytes]]
Result = TypeVar("Result")

_BOOTSTRAP = Path(bootstrap.__file__)
#: Variables that configure this process's Python; they must not reach the other one.
_OURS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_LAST_WORDS = 50
_GRACE_S = 5.0
#: Longest wait for the worker's greeting; it imports no package before that.
_GREETING_S = 60.0
#: The same elsewhere, where a node or an image may have to come first.
_FAR_GREETING_S = 300.0
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
    "room": "looking for free memory",
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
            environment: the Python to start, at one place.
        """
        self._family, self._target, self._environment = family, target, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[Answer | None] = queue.Queue()
        self._stderr: deque[str] = deque(maxlen=_LAST_WORDS)
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._writing = threading.Lock()
        self._sending = ThreadPoolExecutor(1, "vlmprobe-send")
        self._reading = ThreadPoolExecutor(1, "vlmprobe-read")
        self._greeted: Future[bool] = Future()
        self._ended: str | None = None
        """How the process ended, once it did."""
        self._refused: str | None = None
        """What to say instead of a process that could not be started as a worker."""

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
        try:
            sent = self._sending.submit(self._send, name, write)
            return self._reading.submit(lambda: read(*self._receive(name, sent)))
        except RuntimeError:
            if self._ended is None:
                raise
            # It ended meanwhile, and its threads with it.
            failed: Future[Result] = Future()
            failed.set_exception(self._error(name))
            return failed

    def _send(self, name: str, write: Callable[[], tuple[dict[str, Any], Sequence[bytes]]]) -> None:
        if self._ended is not None:
            return
        header, blobs = write()
        process = self._process or self._start()
        assert process.stdin is not None  # noqa: S101  (it was opened as a pipe)
        # A process that died is noticed when its reply is missing.
        with self._writing, suppress(OSError, ValueError):
            protocol.send(process.stdin, {"call": name, **header}, blobs)

    def _receive(self, name: str, sent: Future[None]) -> Answer:
        timeout = self._environment.timeout_of(name)
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
                self._ended = self._find_out()
                self.close()
            raise self._error(name)
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
        """Stop the process, and what started it; a second call does nothing."""
        with self._starting:
            # What waits to be sent must not start it.
            self._ended = self._ended or "was stopped"
            process, self._process = self._process, None
        for threads in (self._sending, self._reading):
            threads.shutdown(wait=False)
        if process is None:
            return
        # A pipe is not closed while a frame is written into it, which takes for ever if nobody reads.
        is_free = not kill and self._writing.acquire(timeout=_GRACE_S)
        try:
            end_child(process, _GRACE_S, at_once=not is_free)
        finally:
            if is_free:
                self._writing.release()
        for thread in self._threads:
            thread.join(_GRACE_S)
        if any(thread.is_alive() for thread in self._threads):
            # What was started is gone; something that it started in its turn still holds the pipes.
            signal_group(process, signal.SIGKILL)

    def _start(self) -> subprocess.Popen[bytes]:
        """Start it, and say what it is to run once it has greeted.

        Raises:
            WorkerError: it cannot be started, is no worker, or was stopped meanwhile.
        """
        environment = self._environment
        command = [environment.python, "-s", str(_BOOTSTRAP)]
        if environment.place is not None:
            command = environment.place.before(command)
        with self._starting:
            if self._ended is not None:
                raise self._error("begin")
            try:
                process = start_child(
                    command, {name: value for name, value in os.environ.items() if name not in _OURS}
                )
            except OSError as error:
                self._ended = f"cannot be started: {error.strerror}"
                self._refused = f"cannot start {command[0]}: {error.strerror}; {self._to_fix}"
                raise self._error("begin") from error
            self._process = process
            self._threads = [
                threading.Thread(target=work, args=(process,), daemon=True)
                for work in (self._read_answers, self._read_stderr)
            ]
            for thread in self._threads:
                thread.start()
        self._await_greeting(process)
        said = {
            "target": self._target,
            "pythonpath": list(environment.pythonpath),
            "plugin": plugin_package(self._target),
        }
        assert process.stdin is not None  # noqa: S101  (it was opened as a pipe)
        with suppress(OSError, ValueError):
            process.stdin.write(f"{json.dumps(said)}\n".encode())
        return process

    def _await_greeting(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the greeting before sending anything; a program that is not a worker might run it."""
        longest = _GREETING_S if self._environment.place is None else _FAR_GREETING_S
        longest = min(longest, self._environment.timeout)
        try:
            if self._greeted.result(longest):
                return
            how = how_it_ended(process.wait(_GRACE_S))
        except subprocess.TimeoutExpired:
            how = "did not start as a worker process"
        except TimeoutError:
            how = f"printed nothing for {longest:g} s"
        if self._ended is None:
            self._ended = how
        self.close(kill=True)
        words = f" ({self._stderr[-1][:300]})" if self._stderr else ""
        self._refused = (
            f"{self._environment.name} {how}{words}; it cannot run this family's models; {self._to_fix}"
        )
        raise self._error("begin")

    @property
    def _to_fix(self) -> str:
        keys = "python" if self._environment.place is None else "launch or python"
        return f"fix {keys} in [families.{self._family}] of vlmprobe.toml"

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

    def _find_out(self) -> str:
        """Return how the process ended, whose answers did."""
        process = self._process
        if process is None:
            return "was stopped"
        try:
            return how_it_ended(process.wait(_GRACE_S))
        except subprocess.TimeoutExpired:
            return "went on without an answer that can be read, and was killed"

    def _error(self, call: str) -> WorkerError:
        if self._refused is not None:
            error = WorkerError(f"family {self._family!r}: {self._refused}")
        else:
            words = f"; its last output: {self._stderr[-1][:300]}" if self._stderr else ""
            error = WorkerError(
                f"family {self._family!r}: the process of {self._environment.name} {self._ended} "
                f"while {_DOING[call]}{words}",
                "finished work is kept; rerun the same command to resume",
            )
        for line in self._stderr:
            error.add_note(line)
        return error
