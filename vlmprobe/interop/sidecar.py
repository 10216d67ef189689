"""``json/pairs_{scale}.json``: facts about pairs and quads that the old layout cannot hold.

::

    {"format": 1,
     "pairs": [{"pair_id": "7", "image_sha256": ..., ...}, ...],            in the order of vectors_{scale}.npz
     "quads": [{"distance": {"pair_id": "3", "category": "far", "pred_orig": ..., ...},
                "vertical": {"pair_id": "3/v", "category": "above", ...}}, ...]      in that of cross_group_vectors

A pair has the fields of ``PairFacts``; a pair of a quad also has its answers and verdicts. ``quads`` is null
if only their deltas are known.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import InputError
from vlmprobe.interop.documents import to_json
from vlmprobe.interop.old_layout import AnsweredPair, PairFacts, Quad
from vlmprobe.interop.predictions import text_of
from vlmprobe.pairs.axes import DISTANCE, SPACE, VERTICAL
from vlmprobe.pairs.quads import PERSPECTIVES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.interop.old_layout import QuadDeltas, ScaleData

__all__ = ["add_known", "sidecar_json"]

FORMAT = 1
_INTEGERS = ("image_width", "image_height")
_FACTS = tuple(each.name for each in fields(PairFacts))
_AGAIN = "export the study again"


def sidecar_json(data: ScaleData) -> str | None:
    """Format ``json/pairs_{scale}.json``; None if the old layout itself holds everything."""
    quads = None if data.quads is None else data.quads.known
    if quads is None and not any(pair.facts for pair in data.pairs):
        return None
    content = {
        "format": FORMAT,
        "pairs": [{"pair_id": pair.pair_id, **asdict(pair.facts)} for pair in data.pairs],
        "quads": None
        if quads is None
        else [{"distance": _half(quad.distance), "vertical": _half(quad.vertical)} for quad in quads],
    }
    return to_json(content, indent=1)


def add_known(path: Path, data: ScaleData) -> ScaleData:
    """Read ``json/pairs_{scale}.json`` and return the scale with the facts in it.

    Raises:
        InputError: it is of another format, something is missing or no such thing, or it is of another run than
            the NPZ files; the message names file and key.
    """
    content = _Place(path, "", _parsed(path))
    found = content.member("format")
    if found.value != FORMAT or isinstance(found.value, bool):
        raise found.error(
            f"is {str(found.value)[:40]}; this version reads {FORMAT}; update vlmprobe, or {_AGAIN}"
        )
    listed = content.member("pairs").items()
    if [each.text("pair_id") for each in listed] != [pair.pair_id for pair in data.pairs]:
        raise content.member("pairs").error("has other pairs than the NPZ file; both must come from one run")
    pairs = tuple(replace(pair, facts=_facts(each)) for pair, each in zip(data.pairs, listed, strict=True))
    quads = content.member("quads")
    if quads.value is None:
        return replace(data, pairs=pairs)
    return replace(data, pairs=pairs, quads=_with_quads(quads, data.quads, pairs))


def _with_quads(place: _Place, deltas: QuadDeltas | None, pairs: Sequence[AnsweredPair]) -> QuadDeltas:
    listed = place.items()
    n = 0 if deltas is None else deltas.n
    if deltas is None or len(listed) != n:
        raise place.error(f"has {len(listed)} quads, but the NPZ file has {n}; both must come from one run")
    own = {pair.pair_id: pair for pair in pairs}
    seen: set[str] = set()
    known = []
    for each in listed:
        halves = []
        for axis in (DISTANCE, VERTICAL):
            half = each.member(str(axis))
            pair = _answered(half)
            if pair.axis is not axis:
                raise half.member("category").error(f"is {pair.category}, which is not {axis}; {_AGAIN}")
            if pair.pair_id in seen:
                raise half.member("pair_id").error(f"{pair.pair_id[:40]!r} appears twice; {_AGAIN}")
            seen.add(pair.pair_id)
            if pair.pair_id in own and _identity(pair) != _identity(own[pair.pair_id]):
                raise half.error(
                    f"differs from another entry of pair {pair.pair_id[:40]!r}; both must come from one run"
                )
            halves.append(own.get(pair.pair_id, pair))
        known.append(Quad(*halves))
    return replace(deltas, known=tuple(known))


def _half(pair: AnsweredPair) -> dict[str, Any]:
    return {
        "pair_id": pair.pair_id,
        "category": str(pair.category),
        "pred_orig": pair.pred_orig,
        "pred_swap": pair.pred_swap,
        "is_correct_orig": pair.correct_orig,
        "is_correct_swap": pair.correct_swap,
        **asdict(pair.facts),
    }


def _identity(pair: AnsweredPair) -> tuple[Any, ...]:
    # Not the answers' texts, which are unknown without a predictions file.
    return pair.category, pair.correct_orig, pair.correct_swap, pair.facts


def _answered(place: _Place) -> AnsweredPair:
    category = place.text("category")
    try:
        parsed = SPACE.category(category)
    except ValueError as error:
        raise place.member("category").error(f"{error}") from None
    return AnsweredPair(
        pair_id=place.text("pair_id"),
        category=parsed,
        pred_orig=place.text_or_null("pred_orig"),
        pred_swap=place.text_or_null("pred_swap"),
        correct_orig=place.verdict("is_correct_orig"),
        correct_swap=place.verdict("is_correct_swap"),
        facts=_facts(place),
    )


def _facts(place: _Place) -> PairFacts:
    values: dict[str, Any] = {
        name: place.pixels_or_null(name) if name in _INTEGERS else place.text_or_null(name) for name in _FACTS
    }
    if values["perspective"] not in (*PERSPECTIVES, None):
        raise place.member("perspective").error(
            f"is {values['perspective'][:40]!r}; expected {', '.join(PERSPECTIVES)} or null"
        )
    return PairFacts(**values)


class _Place:
    """A value in a JSON file, with its location for error messages."""

    def __init__(self, path: Path, key: str, value: Any) -> None:
        self.path, self.key, self.value = path, key, value

    def error(self, problem: str) -> InputError:
        return InputError(f"{self.path}: {self.key} {problem}" if self.key else f"{self.path}: {problem}")

    def member(self, name: str) -> _Place:
        key = f"{self.key}.{name}" if self.key else name
        if not isinstance(self.value, dict):
            raise self.error(f"is not an object with a {name}; {_AGAIN}")
        if name not in self.value:
            raise InputError(f"{self.path}: {key} is missing; {_AGAIN}")
        return _Place(self.path, key, self.value[name])

    def items(self) -> list[_Place]:
        if not isinstance(self.value, list):
            raise self.error(f"is not a list; {_AGAIN}")
        return [_Place(self.path, f"{self.key}[{row}]", value) for row, value in enumerate(self.value)]

    def text(self, name: str) -> str:
        found = self.text_or_null(name)
        if not found:
            raise self.member(name).error(f"is empty; {_AGAIN}")
        return found

    def text_or_null(self, name: str) -> str | None:
        found = self.member(name)
        # JSON can spell half a surrogate pair, which no database stores.
        if found.value is None or (isinstance(found.value, str) and _storable(found.value)):
            return found.value
        raise found.error(f"is {str(found.value)[:40]!a}; expected a string or null")

    def pixels_or_null(self, name: str) -> int | None:
        found = self.member(name)
        # Python takes true for 1, which is not a width; the column holds 32 bits.
        if found.value is None or (type(found.value) is int and 0 < found.value < 2**31):
            return found.value
        raise found.error(f"is {str(found.value)[:40]!r}; expected a positive number of pixels or null")

    def verdict(self, name: str) -> bool:
        found = self.member(name)
        if not isinstance(found.value, bool):
            raise found.error(f"is {str(found.value)[:40]!r}; expected true or false")
        return found.value


def _storable(text: str) -> bool:
    try:
        return "\0" not in text and bool(text.encode() or True)
    except UnicodeEncodeError:
        return False


def _parsed(path: Path) -> Any:
    try:
        return json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not JSON ({error}); copy it again, or delete it to import without it"
        ) from None
