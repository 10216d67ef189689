"""Entry point of ``vlmprobe`` and ``python -m vlmprobe``; handles Ctrl-C even while imports are running."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any, NoReturn

from vlmprobe.streams import prepare_streams

__all__ = ["main"]

#: After so long a SIGTERM is another stop, and not one with the last (see the command line's handler).
_NEXT_STOP_S = 3.5


def main() -> None:
    """Load the command line and run it.

    Commands handle Ctrl-C themselves; this reports one that arrives before a command starts or after it ends.
    """
    prepare_streams()
    sys.unraisablehook = _unraisable
    said = "stopped before any work started"
    try:
        from vlmprobe.cli.main import main as run
        from vlmprobe.cli.session import STOPPED

        said = STOPPED
        run()
    except SystemExit as ended:
        if _is_at_work():
            _end(ended.code if isinstance(ended.code, int) else 0)
        raise
    except KeyboardInterrupt:
        sys.stderr.write(f"error: {said}\n")
        # Not sys.exit(): after an interrupt during an import, Python may still exit through SIGINT.
        _end(130)


def _is_at_work() -> bool:
    """Return whether a thread of ours is left, as after a stop: one that writes rows, or waits for MLflow.

    A second Ctrl-C is not to wait for it, and a normal exit could kill it inside DuckDB, whose C++ code would then
    abort with a core dump.
    """
    return any(thread.daemon and thread.name.startswith("vlmprobe-") for thread in threading.enumerate())


def _end(code: int) -> NoReturn:
    """End this process at once, after what it has said."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _unraisable(unraisable: Any) -> None:
    """Resend a stop that arrived where Python drops exceptions, such as in a weak reference's callback."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    from _thread import start_new_thread

    # From another thread: here it would be dropped once more.
    start_new_thread(_stop_again, ())


def _stop_again() -> None:
    # If Ctrl-C is ignored, as after 'nohup vlmprobe extract &', the stop was a SIGTERM.
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        os.kill(os.getpid(), signal.SIGINT)
        return
    # Those that come together count as one.
    time.sleep(_NEXT_STOP_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
