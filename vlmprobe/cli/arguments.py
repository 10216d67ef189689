"""Options written back as the command line has them, for commands that another machine runs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

__all__ = ["arguments", "whole_path"]


def arguments(group: Any) -> list[str]:
    """Return the arguments that give a dataclass of options the values that it has; none for a default.

    Args:
        group: an instance whose fields are annotated with Typer's options. A file that is there is written with its
            whole path, so that the command may run in any folder.
    """
    hints = get_type_hints(type(group), include_extras=True)
    found: list[str] = []
    for each in fields(group):
        value = getattr(group, each.name)
        if value == each.default:
            continue
        name = _name(get_args(hints[each.name])[1])
        if isinstance(value, bool):
            on, _, off = name.partition("/")
            found.append(on if value else off)
        else:
            found += [name, whole_path(value)]
    return found


def _name(option: Any) -> str:
    """Return an option's long name; inside Annotated, Typer keeps the first name where a default would be."""
    names = [option.default, *(option.param_decls or ())]
    return next(str(each) for each in names if str(each).startswith("--"))


def whole_path(value: Any) -> str:
    """Return the text of a value; of a file or folder that is there its whole path."""
    text = str(value)
    try:
        path = Path(text).expanduser()
        return str(path.absolute()) if path.exists() else text
    except (OSError, RuntimeError):
        return text
