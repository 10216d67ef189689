"""Entry point of ``vlmprobe`` and ``python -m vlmprobe``; handles Ctrl-C even while imports are running."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from vlmprobe.streams import prepare_streams

__all__ = ["main"]


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
    except KeyboardInterrupt:
        sys.stderr.write(f"error: {said}\n")
        # Not sys.exit(): after an interrupt during an import, Python may still exit through SIGINT.
        sys.stderr.flush()
        os._exit(130)


def _unraisable(unraisable: Any) -> None:
    """Resend a stop that arrived where Python drops exceptions, such as in a weak reference's callback."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    from _thread import start_new_thread

    # If Ctrl-C is ignored, as after 'nohup vlmprobe extract &', the stop was a SIGTERM.
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    # From another thread: here it would be dropped once more.
    start_new_thread(os.kill, (os.getpid(), signal.SIGTERM if ignored else signal.SIGINT))


if __name__ == "__main__":
    main()
