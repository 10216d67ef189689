"""Other processes beside this one: how they start, get their work, tell of it, and end.

They are started afresh (``spawn``), never forked: a fork would copy locks that threads hold, and a GPU's context.
Ctrl-C goes to this process alone, which ends the others; none outlives it.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from threading import Condition, Lock, Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import VlmprobeError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

__all__ = ["THREAD_VARIABLES", "OtherProcess", "end_with_parent", "processors", "starting"]

#: Variables that say how many threads share a product; they are read when NumPy and PyTorch are loaded.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

#: Below a model on the same processors, which many threads wait for; on processors that are free it changes nothing.
_NICER = 5
#: A timeout lets the main thread react to Ctrl-C.
_LOOK_S = 0.2


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def starting() -> Iterator[None]:
    """Let processes that start meanwhile inherit that Ctrl-C is not for them, and keep them off the running program.

    They need the modules of their work alone. A script that begins that work at its top level would begin it again in
    each process.
    """
    # multiprocessing's own helper unblocks the signal when it starts, so it has to be there before.
    ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Make sure that the process that calls this does not outlive its parent, whatever it is doing."""
    Thread(target=_wait_for_end_of_parent, daemon=True).start()


def _wait_for_end_of_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        # A worker would wait for its next item forever, since it holds both ends of the queue.
        os._exit(1)


class OtherProcess:
    """One process that works on item after item while this one goes on; the first error ends it."""

    def __init__(
        self,
        begin: Callable[..., Callable[[Any], Any]],
        *arguments: Any,
        name: str,
        heard: Callable[[Any], None],
    ) -> None:
        """Start it; it prepares itself while this process goes on.

        Args:
            begin: a function of a module. Called once in the process, with a function that tells something to this
                process and with the arguments, it prepares the work and returns what is called with each item.
            arguments: picklable.
            name: what it does, for the message if it dies: "the process that ...".
            heard: called with what the process tells, and with the result of each item, in another thread.
        """
        self._name, self._heard = name, heard
        self._changed = Condition()
        self._open = 0
        self._failure: BaseException | None = None
        self._ended = False
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, Path.cwd(), begin, arguments), daemon=True
        )
        with starting():
            self._process.start()
        theirs.close()
        self._listener = Thread(target=self._listen, name="vlmprobe-listen", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Its number in the system."""
        return self._process.pid or 0

    def submit(self, item: Any) -> None:
        """Submit an item, which has to be picklable.

        Raises:
            Exception: what an earlier item raised, or that the process died.
        """
        self.check()
        with self._changed:
            self._open += 1
        with suppress(OSError):  # it died, and the other thread will say so
            self._connection.send(item)

    def check(self) -> None:
        """Raise what an item raised, with its class and message.

        Raises:
            Exception: this; or VlmprobeError, if the process died.
        """
        if self._failure is not None:
            raise self._failure

    @property
    def has_failed(self) -> bool:
        """Whether :meth:`check` would raise."""
        return self._failure is not None

    def stop(self) -> None:
        """Ask it to stop with SIGTERM, as schedulers do; :meth:`wait` for its end."""
        self._process.terminate()

    def wait(self) -> None:
        """Wait until the process has ended."""
        while self._process.is_alive():
            self._process.join(_LOOK_S)

    def finish(self) -> None:
        """Wait until every item is done.

        Raises:
            Exception: what an item raised, or that the process died.
        """
        with self._changed:
            while self._open and self._failure is None:
                self._changed.wait(_LOOK_S)
        self.check()

    def close(self) -> None:
        """End the process at once, whatever it is doing; what it wrote whole stays."""
        self._ended = True
        self._process.kill()
        self._process.join()
        self._listener.join()
        self._connection.close()

    def _listen(self) -> None:
        try:
            while True:
                kind, value = self._connection.recv()
                if kind == "failed":
                    self._fail(_error(*value))
                    return
                self._heard(value)
                if kind == "done":
                    with self._changed:
                        self._open -= 1
                        self._changed.notify_all()
        except (EOFError, OSError):
            if not self._ended:
                self._process.join()
                code = self._process.exitcode
                self._fail(
                    VlmprobeError(
                        f"the process that {self._name} died without an error (exit code {code}; out of memory?); "
                        "finished work is kept; rerun the same command"
                    )
                )
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()


def _serve(
    connection: Connection[Any, Any],
    folder: Path,
    begin: Callable[..., Callable[[Any], Any]],
    arguments: tuple[Any, ...],
) -> None:
    """Work on what comes, in the other process."""
    end_with_parent()
    try:
        os.nice(_NICER)
        os.chdir(folder)  # where the parent is now, which may not be where it began
        send = _in_turn(connection)
        work = begin(lambda value: send(("heard", value)), *arguments)
        while True:
            send(("done", work(connection.recv())))
    except EOFError:
        return
    except BaseException as error:  # noqa: BLE001 - raised again in the parent
        with suppress(OSError):
            connection.send(("failed", _parts(error)))


def _in_turn(connection: Connection[Any, Any]) -> Callable[[Any], None]:
    """Return what sends a message, from any thread."""
    lock = Lock()

    def send(message: Any) -> None:
        with lock:
            connection.send(message)

    return send


def _parts(error: BaseException) -> tuple[Any, ...]:
    """Take an error apart; some classes of ours make their message of other arguments, so that pickle's way fails."""
    trace = "".join(traceback.format_exception(error))
    reduced: Any = error.__reduce__()
    parts = *reduced[:2], dict(error.__dict__), trace
    try:
        _error(*pickle.loads(pickle.dumps(parts)))  # noqa: S301 - our own, made in this line
    except Exception:  # noqa: BLE001 - whatever a class of another library needs
        text = f"unexpected {type(error).__name__}: {first_line(error)}"
        return VlmprobeError, (text,), {}, trace
    return parts


def _error(
    kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any], trace: str
) -> BaseException:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    error.__cause__ = VlmprobeError(f"in the other process:\n{trace}")  # what --debug shows
    return error
