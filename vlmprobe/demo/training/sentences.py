"""The questions and answers of the tiny models: relations in the templates' words, and single objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.demo.scenes import COLOURS, NAMES, SHAPES
from vlmprobe.pairs.axes import SPACE, YesNo

if TYPE_CHECKING:
    from vlmprobe.pairs.axes import Axis
    from vlmprobe.pairs.prompts import Template

__all__ = ["ANSWERS", "PERCEPTION", "perception_questions", "relation_question"]

_DIGITS = tuple("0123456789")
#: Every possible answer; each is one token.
ANSWERS = (
    *(str(category) for category in SPACE.categories),
    *(str(answer) for answer in YesNo),
    *COLOURS,
    *SHAPES,
    *_DIGITS,
)
#: The kinds of questions about one object, in the order in which results name them. There is none about size: a
#: model that knows the size of things needs no perspective to tell near from far.
PERCEPTION = ("colour", "shape", "exists", "x", "y", "count")
_ONE_WORD = "Answer with only one word."


def perception_questions() -> dict[str, tuple[str, ...]]:
    """Return the questions of each kind of `PERCEPTION`: one per shape, per colour, per name, or one alone."""
    return {
        "colour": tuple(f"What color is the {shape}? {_ONE_WORD}" for shape in SHAPES),
        "shape": tuple(f"What shape is the {colour} object? {_ONE_WORD}" for colour in COLOURS),
        "exists": tuple(f"Is there a {name}? {_ONE_WORD}" for name in NAMES),
        "x": tuple(f"What is the x position of the {name}? {_ONE_WORD}" for name in NAMES),
        "y": tuple(f"What is the y position of the {name}? {_ONE_WORD}" for name in NAMES),
        "count": (f"How many objects are there? {_ONE_WORD}",),
    }


def relation_question(template: Template, axis: Axis, subject: str, reference: str) -> str:
    """Return a template's question about two objects, as in extraction."""
    return template.ask(axis.canonical, subject, reference)[0].text
