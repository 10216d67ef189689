"""The command line: one file per command; its workflow is imported only when the command runs."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any, NoReturn

import typer

from vlmprobe import __version__
from vlmprobe.cli.analyze import analyze
from vlmprobe.cli.backup import backup
from vlmprobe.cli.command import add
from vlmprobe.cli.compare import compare
from vlmprobe.cli.control import control
from vlmprobe.cli.data import app as data_app
from vlmprobe.cli.db import app as db_app
from vlmprobe.cli.demo import app as demo_app
from vlmprobe.cli.doctor import doctor
from vlmprobe.cli.export import app as export_app
from vlmprobe.cli.extract import extract
from vlmprobe.cli.families import families
from vlmprobe.cli.import_ import import_
from vlmprobe.cli.merge import merge
from vlmprobe.cli.plot import plot
from vlmprobe.cli.query import query
from vlmprobe.cli.reproduce import reproduce
from vlmprobe.cli.robustness import robustness
from vlmprobe.cli.run import run
from vlmprobe.cli.runs import app as runs_app
from vlmprobe.cli.session import STOPPED, ReportedExit, ignore_stops
from vlmprobe.cli.sql import sql
from vlmprobe.cli.sync import sync
from vlmprobe.cli.ui import ui
from vlmprobe.cli.units import cancel, status, unit
from vlmprobe.cli.verdict import verdict
from vlmprobe.cli.verify import verify
from vlmprobe.console import plain_text

__all__ = ["app", "main"]

#: Exit code of a command that was stopped by Ctrl-C or SIGTERM.
_STOPPED = 130
#: A scheduler sends SIGTERM to every process of a job, and the first of them passes it on: that is one stop, and a
#: second one would not wait until what is done is written.
_ONE_STOP_S = 3.0

app = typer.Typer(
    name="vlmprobe",
    help="Probe spatial understanding in vision-language models: extract, analyze, compare, query with SQL.",
    epilog="Start with: vlmprobe demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vlmprobe {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", callback=_show_version, is_eager=True
    ),
) -> None:
    pass


add(
    app,
    extract,
    control,
    verdict,
    robustness,
    analyze,
    merge,
    reproduce,
    compare,
    plot,
    run,
    status,
    cancel,
    unit,
    families,
    sql,
    query,
    ui,
    import_,
    sync,
    verify,
    backup,
    doctor,
)
app.add_typer(demo_app, name="demo")
app.add_typer(data_app, name="data")
app.add_typer(db_app, name="db")
app.add_typer(runs_app, name="runs")
app.add_typer(export_app, name="export")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a wrong option prints one line and exits with code 2."""
    # Schedulers end a job with SIGTERM, which gets the same clean stop as Ctrl-C.
    signal.signal(signal.SIGTERM, _Interrupt())
    command: Any = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, standalone_mode=False)
    except Exception as error:
        # Click's own errors. Some versions of typer vendor Click, so they are recognized by their methods.
        if not hasattr(error, "format_message"):
            if type(error).__name__ == "Abort":
                # Stopped before the command had begun, or after its end.
                typer.echo(f"error: {STOPPED}", err=True)
                _leave(_STOPPED)
            raise
        context = getattr(error, "ctx", None)
        where = f"; see '{context.command_path} --help'" if context is not None else ""
        text = str(error.format_message()).strip()
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(text)
            sys.exit(0)
        typer.echo(f"error: {plain_text(' '.join(text.split())).rstrip('.')}{where}", err=True)
        sys.exit(getattr(error, "exit_code", 2))
    if code == _STOPPED and not isinstance(code, ReportedExit):
        # Stopped outside of a session, for example while the command was loading.
        typer.echo(f"error: {STOPPED}", err=True)
    _leave(code if isinstance(code, int) else 0)


def _leave(code: int) -> NoReturn:
    ignore_stops()
    # An interrupt inside exec(), which dataclasses use, sets a flag that makes 'python -m' kill itself with
    # SIGINT at exit instead of returning our code; the next exec() clears it.
    exec("")  # noqa: S102
    sys.exit(code)


class _Interrupt:
    """What SIGTERM does: the same as Ctrl-C, once for all that come together."""

    def __init__(self) -> None:
        self._last: float | None = None

    def __call__(self, signum: int, frame: object) -> None:  # noqa: ARG002 - the handler's protocol
        before, self._last = self._last, time.monotonic()
        if before is None or self._last - before > _ONE_STOP_S:
            raise KeyboardInterrupt


if __name__ == "__main__":
    main()
