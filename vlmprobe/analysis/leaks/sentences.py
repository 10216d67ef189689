"""Says in plain words what a check found, and what that means for a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.analysis.leaks.design import (
    ANSWER_FIRST,
    ANSWER_OPTION,
    CATEGORIES,
    DUPLICATES,
    MENTION_ORDER,
    PERSPECTIVE,
)
from vlmprobe.analysis.leaks.names import NAMES, NAMES_NEW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.leaks.leak import Leak
    from vlmprobe.pairs import AxisSet

__all__ = ["sentence", "summary_line"]

#: Beyond it, one category has at least 1.5 times as many pairs as the other.
_UNEVEN = 0.6
#: What each check could not be made of, for a sentence about why.
_SUBJECTS = {
    NAMES: "whether names alone tell the relation",
    NAMES_NEW: "whether words tell the relation of objects with other names",
    ANSWER_OPTION: "where the right option stands",
    ANSWER_FIRST: "whether the right answer is listed first",
    MENTION_ORDER: "which object is named first",
    CATEGORIES: "how many pairs each category has",
    PERSPECTIVE: "the share of consistent pairs",
    DUPLICATES: "duplicates",
}


def summary_line(leaks: Sequence[Leak]) -> str:
    """Say in a line how many of the tests of a benchmark raise an alarm."""
    n_tests = sum(leak.p_holm is not None for leak in leaks)
    alarms = [f"{leak.name} {leak.target}" for leak in leaks if leak.is_alarm]
    tests = f"{n_tests} test{'s' if n_tests != 1 else ''} under Holm's rule"
    if not alarms:
        return f"leaks before any model is asked: none seen in {tests}"
    return f"leaks before any model is asked: {', '.join(alarms)} ({tests})"


def sentence(leak: Leak, leaks: Sequence[Leak], axes: AxisSet) -> str:
    """Return what a check found, in a sentence or two.

    Args:
        leak: the one to word, already corrected.
        leaks: all of its benchmark.
        axes: of the benchmark.
    """
    where = "" if leak.target == "overall" else f"{leak.target}: "
    if leak.value is None:
        return f"{where}not known: {_SUBJECTS[leak.name]} ({leak.reason})."
    return where + {
        NAMES: _names,
        NAMES_NEW: _names_new,
        ANSWER_OPTION: _answer_option,
        ANSWER_FIRST: _answer_first,
        MENTION_ORDER: _mention_order,
        CATEGORIES: _categories,
        PERSPECTIVE: _perspective,
        DUPLICATES: _duplicates,
    }[leak.name](leak, leaks, axes)


def _names(leak: Leak, _: Sequence[Leak], axes: AxisSet) -> str:
    told = (
        f"names alone tell {_sides(leak, axes)} in {leak.value:.2f} of {leak.n} pairs about held-out images "
        f"({leak.chance:.2f} by chance, {_p(leak)})"
    )
    if leak.is_alarm:
        return (
            f"{told}. A model can be right this often without looking, and an axis or an angle here can be one "
            "of names."
        )
    return f"{told}; no leak is seen."


def _names_new(leak: Leak, _: Sequence[Leak], axes: AxisSet) -> str:
    told = (
        f"words tell {_sides(leak, axes)} in {leak.value:.2f} of {leak.n} pairs about objects with other names "
        f"({leak.chance:.2f} by chance, {_small(leak.p_value)})"
    )
    if leak.p_value is not None and leak.p_value <= 0.05:
        return f"{told}. Holding objects out of a fit does not remove what words give away."
    return f"{told}; a fit that holds objects out is not seen to be helped by words."


def _answer_option(leak: Leak, _: Sequence[Leak], __: AxisSet) -> str:
    told = (
        f"the right answer of the file's own multiple-choice rows is {leak.detail} in {leak.value:.2f} of {leak.n} "
        f"({leak.chance:.2f} by chance, {_p(leak)})"
    )
    if leak.is_alarm:
        return f"{told}. A model that prefers this option scores on the file; vlmprobe's own questions have no options."
    return f"{told}; no preferred place is seen."


def _answer_first(leak: Leak, _: Sequence[Leak], __: AxisSet) -> str:
    told = f"the right answer is listed before the wrong one in {_share(leak)} of {leak.n} questions ({_p(leak)})"
    if leak.is_alarm:
        return f"{told}. A model that always says the first (or the last) answer beats chance."
    return f"{told}; no leak by order is seen."


def _mention_order(leak: Leak, leaks: Sequence[Leak], axes: AxisSet) -> str:
    if leak.value not in (0.0, 1.0):
        return (
            f"the subject is named first in {leak.value:.2f} of {leak.n} original questions, so an effect of that "
            "order is mixed into this axis."
        )
    order = {each.target: each.value for each in leaks if each.name == MENTION_ORDER}
    told = f"every original question names the {'subject' if leak.value else 'reference'} first"
    others = [str(axis) for axis in axes if order.get(str(axis)) == 1 - (leak.value or 0)]
    # Said once, of the axes that differ from most.
    if not others or len(others) < len(order) / 2:
        return f"{told}."
    return (
        f"{told}, but not those of {' and '.join(others)}. What a model makes of the order of names has the opposite "
        "sign there, and can pass for a negative angle between the two axes."
    )


def _categories(leak: Leak, _: Sequence[Leak], __: AxisSet) -> str:
    if max(leak.value or 0, 1 - (leak.value or 0)) > _UNEVEN:
        return (
            f"{leak.detail}. An effect of swapping any two names adds to plain coherence; read "
            "axis_coherence.balanced instead."
        )
    return f"{leak.detail}, about as many of both."


def _perspective(leak: Leak, _: Sequence[Leak], __: AxisSet) -> str:
    told = f"{_share(leak)} of {leak.n} pairs with boxes are consistent ({_p(leak)})"
    if leak.is_alarm:
        higher, lower = ("farther", "closer") if (leak.value or 0) > 0.5 else ("closer", "farther")
        return (
            f"{told}. Who takes the higher object for the {higher} one and the lower for the {lower} one beats chance; "
            "read accuracy and VD-EI by perspective."
        )
    return f"{told}; that height tells distance is not shown."


def _duplicates(leak: Leak, _: Sequence[Leak], __: AxisSet) -> str:
    n = round((leak.value or 0) * leak.n)
    if not n:
        return "no pair repeats the objects of the same picture."
    copies = "pair repeats" if n == 1 else "pairs repeat"
    return (
        f"{n} {copies} the objects of the same picture ({leak.detail}). Intervals count images and hold; "
        "n is larger than what it is worth."
    )


def _sides(leak: Leak, axes: AxisSet) -> str:
    canonical, opposite = axes.axis(leak.target).categories
    return f"{canonical} from {opposite}"


def _p(leak: Leak) -> str:
    if leak.p_value is None:
        return f"no test: {leak.reason}"
    return f"{_small(leak.p_value)}, {_small(leak.p_holm)} after Holm"


def _small(p_value: float | None) -> str:
    if p_value is None:
        return "not tested"
    return "p < 0.001" if p_value < 0.0005 else f"p {p_value:.3f}"


def _share(leak: Leak) -> str:
    if leak.ci_low is None or leak.ci_high is None:
        return f"{leak.value:.2f}"
    return f"{leak.value:.2f} [{leak.ci_low:.2f}, {leak.ci_high:.2f}]"
