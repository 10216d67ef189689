"""What the design of a benchmark gives away: places of answers, wordings, categories, perspective, copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from vlmprobe.analysis.inference import effective_wilson, mean_change
from vlmprobe.analysis.leaks.leak import Leak
from vlmprobe.analysis.leaks.names import NO_NAMES
from vlmprobe.pairs.contradictions import object_key, question_key
from vlmprobe.pairs.mentions import expected_is_first, subject_is_first

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.pairs import Axis, SwapPair

__all__ = [
    "ANSWER_FIRST",
    "ANSWER_OPTION",
    "CATEGORIES",
    "DUPLICATES",
    "MENTION_ORDER",
    "PERSPECTIVE",
    "answer_first",
    "answer_option",
    "categories",
    "duplicates",
    "mention_order",
    "perspective",
]

ANSWER_OPTION, ANSWER_FIRST, MENTION_ORDER = "answer_option", "answer_first", "mention_order"
CATEGORIES, PERSPECTIVE, DUPLICATES = "categories", "perspective", "duplicates"

_OVERALL = "overall"
#: Rows an option, which the chi-square distribution needs.
_ROWS_AN_OPTION = 5
_CLUSTERED = "effective-n Wilson, t over images"


def answer_option(pairs: Sequence[SwapPair]) -> Leak:
    """Return how often the right option of a multiple-choice row has its most frequent place.

    Tested is whether all places are equally frequent (chi-square), among the rows with the usual number of options.
    """
    by_number: dict[int, list[SwapPair]] = {}
    for pair in pairs:
        if pair.answer_option is not None:
            by_number.setdefault(pair.answer_option[1], []).append(pair)
    if not by_number:
        reason = "the file has no rows with options"
        return Leak(name=ANSWER_OPTION, target=_OVERALL, value=None, n=0, n_images=0, reason=reason)
    n_options, rows = max(by_number.items(), key=lambda each: (len(each[1]), each[0]))
    counts = np.bincount([pair.answer_option[0] for pair in rows if pair.answer_option], minlength=n_options)
    expected = len(rows) / n_options
    few = expected < _ROWS_AN_OPTION
    place = int(counts.argmax())
    return Leak(
        name=ANSWER_OPTION,
        target=_OVERALL,
        value=float(counts[place]) / len(rows),
        n=len(rows),
        n_images=_n_images(rows),
        detail=f"option {place + 1} of {n_options}",
        chance=1 / n_options,
        p_value=None if few else float(chdtrc(n_options - 1, np.square(counts - expected).sum() / expected)),
        method="chi-square",
        reason=f"fewer than {_ROWS_AN_OPTION} rows for each option" if few else "",
    )


def answer_first(pairs: Sequence[SwapPair]) -> Leak:
    """Return in what share of the questions, original and swapped, the right answer is listed before the wrong one."""
    images, first = [], []
    for pair in pairs:
        names = tuple(name for name in (pair.subject, pair.reference) if name is not None)
        for question in pair.questions:
            found = expected_is_first(question, names)
            if found is not None:
                images.append(pair.image_sha256)
                first.append(found)
    return _share(ANSWER_FIRST, _OVERALL, first, images, "no question lists its two answers")


def mention_order(axis: Axis, pairs: Sequence[SwapPair]) -> Leak:
    """Return in what share of an axis's original questions the subject is named before the reference."""
    found = [(subject_is_first(pair), pair.image_sha256) for pair in pairs]
    known = [(first, image) for first, image in found if first is not None]
    named = any(pair.subject is not None for pair in pairs)
    return Leak(
        name=MENTION_ORDER,
        target=str(axis),
        value=sum(first for first, _ in known) / len(known) if known else None,
        n=len(known),
        n_images=len({image for _, image in known}),
        reason="" if known else "no question names both of its objects" if named else NO_NAMES,
    )


def categories(axis: Axis, pairs: Sequence[SwapPair]) -> Leak:
    """Return the share of an axis's canonical category."""
    n_canonical = sum(pair.category.is_canonical for pair in pairs)
    canonical, opposite = axis.categories
    return Leak(
        name=CATEGORIES,
        target=str(axis),
        value=n_canonical / len(pairs) if pairs else None,
        n=len(pairs),
        n_images=_n_images(pairs),
        detail=f"{n_canonical} {canonical}, {len(pairs) - n_canonical} {opposite}",
        chance=0.5,
        reason="" if pairs else "no pairs",
    )


def perspective(axis: Axis, pairs: Sequence[SwapPair], perspectives: Mapping[str, str] | None) -> Leak:
    """Return the share of consistent pairs among those whose boxes agree with perspective or contradict it.

    Args:
        axis: of distance.
        pairs: of the axis.
        perspectives: of the pairs with boxes, by pair id; None where no boxes are known.
    """
    known = [(each, pair.image_sha256) for pair in pairs if (each := (perspectives or {}).get(pair.pair_id))]
    known = [(each, image) for each, image in known if each != "ambiguous"]
    reason = "no boxes are known" if not perspectives else "no pair has boxes at two heights"
    consistent = [each == "consistent" for each, _ in known]
    return _share(PERSPECTIVE, str(axis), consistent, [image for _, image in known], reason)


def duplicates(pairs: Sequence[SwapPair]) -> Leak:
    """Return the share of pairs that ask about the same objects of the same picture as an earlier one.

    Pictures are the same if their files are: a copy that was compressed again counts as another.
    """
    first_of: dict[tuple[str, ...], SwapPair] = {}
    repeated: list[tuple[SwapPair, SwapPair]] = []
    for pair in pairs:
        if pair.subject is not None and pair.reference is not None:
            asked = sorted((object_key(pair.subject), object_key(pair.reference)))
        else:
            asked = sorted(question_key(question.text) for question in pair.questions)
        first = first_of.setdefault((pair.image_sha256, str(pair.axis), *asked), pair)
        if first is not pair:
            repeated.append((pair, first))
    lines = f"line {repeated[0][0].line} repeats line {repeated[0][1].line}" if repeated else ""
    return Leak(
        name=DUPLICATES,
        target=_OVERALL,
        value=len(repeated) / len(pairs) if pairs else None,
        n=len(pairs),
        n_images=_n_images(pairs),
        detail=lines,
        chance=0.0,
        reason="" if pairs else "no pairs",
    )


def _share(name: str, target: str, flags: Sequence[bool], images: Sequence[str], missing: str) -> Leak:
    """Return a share against one half, with an interval and a test that count images."""
    estimate = effective_wilson(flags, images)
    change = np.where(np.asarray(flags, dtype=bool), 1.0, -1.0)
    p_value = mean_change(change, images)[1] if len(flags) else None
    return Leak(
        name=name,
        target=target,
        value=estimate.value,
        n=len(flags),
        n_images=estimate.n_images,
        chance=0.5,
        ci_low=estimate.ci_low,
        ci_high=estimate.ci_high,
        p_value=p_value,
        method=_CLUSTERED if len(flags) else "",
        reason=estimate.reason if len(flags) else missing,
    )


def _n_images(pairs: Sequence[SwapPair]) -> int:
    return len({pair.image_sha256 for pair in pairs})
