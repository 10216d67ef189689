"""Turns functions into commands: each declares its own options, and :func:`command` adds the common ones."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
import typer.core

from vlmprobe.cli.session import check_results, session

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OneOrItsOwn", "add", "add_default", "command"]


_IS_OWN = "vlmprobe.is_own"


def _as_typed(text: str) -> Path:
    """Return a path that keeps what ``./`` says: ``./~`` is a folder of this name, ``~`` one's own."""
    return Path(text).absolute() if text.startswith("./") else Path(text)


#: Options of every command; ``experiment`` only of those that log to MLflow.
_COMMON: dict[str, Any] = {
    "experiment": Annotated[
        str | None, typer.Option("--experiment", help="MLflow experiment to log to.", metavar="NAME")
    ],
    "home": Annotated[
        Path | None,
        typer.Option(
            "--home",
            help="Folder of the database, MLflow store, spool and reports.",
            metavar="DIR",
            parser=_as_typed,
        ),
    ],
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],
}


def command(
    *, example: str, experiment: bool = False, lists: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn ``body(workspace, own options...)`` into a command that opens the workspace of ``--home``.

    A parameter whose type is a dataclass of options stands for its fields; the body gets the dataclass.

    Args:
        example: a command line that works, shown below the help.
        experiment: whether the command logs to MLflow, and so takes ``--experiment``.
        lists: whether what it prints is all that it is for, so that it fails where that cannot be written.
    """

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(body, include_extras=True)
        own = list(inspect.signature(body).parameters.values())[1:]
        groups = {each.name: hints[each.name] for each in own if is_dataclass(hints[each.name])}
        common = {name: kind for name, kind in _COMMON.items() if experiment or name != "experiment"}
        options: list[inspect.Parameter] = []
        for each in own:
            options += (
                _fields(groups[each.name])
                if each.name in groups
                else [_option(each.name, hints[each.name], each.default)]
            )
        options += [
            _option(name, kind, False if name in {"quiet", "debug"} else None)
            for name, kind in common.items()
        ]

        @wraps(body)
        def run(**given: Any) -> None:
            with session(**{name: given.pop(name) for name in common}) as workspace:
                for name, group in groups.items():
                    given[name] = group(**{each.name: given.pop(each.name) for each in fields(group)})
                body(workspace, **given)
                check_results(workspace, are_all=lists)

        made: Any = run
        made.__signature__ = inspect.Signature(options, return_annotation=None)
        made.__annotations__ = {each.name: each.annotation for each in options}
        made.example = example
        return run

    return decorate


def add(app: typer.Typer, *commands: Callable[..., None]) -> None:
    """Add commands to an app, each under its function's name."""
    for each in commands:
        made: Any = each
        app.command(made.__name__.rstrip("_").replace("_", "-"), epilog=f"Example: {made.example}")(each)


def add_default(app: typer.Typer, body: Callable[..., None]) -> None:
    """Make a command what an app does when it is called without one of its own commands."""

    @wraps(body)
    def run(context: typer.Context, **given: Any) -> None:
        if context.invoked_subcommand is None:
            body(**given)

    made: Any = run
    options = list(inspect.signature(body).parameters.values())
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    made.__signature__ = inspect.Signature([context, *options], return_annotation=None)
    made.__annotations__ = {each.name: each.annotation for each in (context, *options)}
    app.callback(invoke_without_command=True)(run)


class OneOrItsOwn(typer.core.TyperGroup):
    """A command with arguments that has commands of its own: the first word decides which is meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Leave the words to the own command that the first one names; read them as arguments else."""
        is_own = bool(args) and args[0] in self.commands
        ctx.meta[_IS_OWN] = is_own
        # A group stops at its first argument; a command takes options behind it.
        ctx.allow_interspersed_args = not is_own
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> Any:
        """Return none where an own command is meant: the arguments are its own."""
        return [] if ctx.meta.get(_IS_OWN) else super().get_params(ctx)


def _option(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _fields(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        _option(
            each.name, hints[each.name], inspect.Parameter.empty if each.default is MISSING else each.default
        )
        for each in fields(group)
    ]
