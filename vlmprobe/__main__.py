"""``python -m vlmprobe``, and what the command ``vlmprobe`` starts: Ctrl-C counts from the first moment."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Load the command line and run it.

    A command that is stopped ends by itself; here it is told when that came before one had begun, or after its end.
    """
    sys.unraisablehook = _unraisable
    said = "stopped before anything had begun"
    try:
        from vlmprobe.cli.main import main as run
        from vlmprobe.cli.session import STOPPED

        said = STOPPED
        run()
    except KeyboardInterrupt:
        sys.stderr.write(f"error: {said}\n")
        # Not by sys.exit(): an interrupt in an import can leave Python's mind set on ending by SIGINT.
        sys.stderr.flush()
        os._exit(130)


def _unraisable(unraisable: Any) -> None:
    """Send a stop again when it came where Python drops exceptions, in a weak reference's callback say."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    from _thread import start_new_thread

    # Where Ctrl-C is ignored, as after 'nohup vlmprobe extract &', it was SIGTERM.
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    # From another thread: here it would be dropped once more.
    start_new_thread(os.kill, (os.getpid(), signal.SIGTERM if ignored else signal.SIGINT))


if __name__ == "__main__":
    main()
