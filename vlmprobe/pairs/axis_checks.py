"""What a set of axes may be; checked when it is made, not when its first figure is drawn hours later."""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmprobe.pairs.axes import Axis

__all__ = ["MARKERS", "check_axes"]

#: As matplotlib names them.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
#: Targets of metrics beside the axes.
_TAKEN = frozenset({"overall"})


def check_axes(axes: Sequence[Axis]) -> None:
    """Check a set of axes.

    Raises:
        ValueError: it cannot be used; the message names the axis or category, and what to do.
    """
    problem = next(_problems(axes), None)
    if problem is not None:
        raise ValueError(f"axes {', '.join(axes)}: {problem}" if axes else problem)


def _problems(axes: Sequence[Axis]) -> Iterator[str]:
    if not axes:
        yield "a set of axes needs at least one axis"
    categories = [category for axis in axes for category in axis.categories]
    names = [*map(str, axes), *map(str, categories)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield f"{', '.join(twice)} is there twice; names must differ"
    for name in names:
        if not _NAME.fullmatch(name) or name in _TAKEN:
            yield f"{name!r} is no name; use lower-case letters, digits and -, and not {', '.join(_TAKEN)}"
    read = [*map(str, categories), *(word for category in categories for word in category.read_as)]
    if twice := sorted({word for word in read if read.count(word) > 1}):
        yield f"{', '.join(twice)} is read as two categories; let each word stand for one"
    colors = {str(each): each.color for each in axes} | {str(each): each.color for each in categories}
    for name, color in colors.items():
        if color and not _COLOR.fullmatch(color):
            yield f"{name}: {color[:20]!r} is no color; write #rrggbb"
    for axis in axes:
        if axis.marker and axis.marker not in MARKERS:
            yield f"{axis}: {axis.marker[:20]!r} is no marker; use one of {' '.join(MARKERS)}"
        for template, question in axis.questions.items():
            yield from _of_question(axis, template, question)


def _of_question(axis: Axis, template: str, question: str) -> Iterator[str]:
    try:
        fields = {name for _, name, _, _ in Formatter().parse(question) if name is not None}
    except ValueError as error:
        yield f"{axis}, question {template}: {error}"
        return
    if fields != {"a", "b"}:
        yield f"{axis}, question {template}: write {{a}} for the subject and {{b}} for the reference, and nothing else"
