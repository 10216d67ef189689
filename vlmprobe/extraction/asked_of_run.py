"""What ``control`` asks about one run: which controls and real runs, on which file, in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.extraction.control import Asked, Control
from vlmprobe.extraction.like_run import template_to_ask
from vlmprobe.pairs import YES_NO
from vlmprobe.store.controls import OTHER_AXIS, RANDOM_WEIGHTS, SHUFFLED_LABELS, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmprobe.extraction.request import ExtractOptions
    from vlmprobe.store.runs import Run

__all__ = ["asked_of_run"]

_NULL_1 = Control(OTHER_AXIS)


def asked_of_run(
    run: Run,
    wanted: Sequence[str],
    options: ExtractOptions,
    swaps: ExtractOptions | None,
    *,
    is_judged: bool,
) -> Iterator[tuple[ExtractOptions, list[Asked]]]:
    """Yield what is asked of one model about one file; each time the model is loaded, unless all is there.

    A run that is judged gets the yes/no templates. With exchanged pictures it also gets the same about these, and of
    all four the controls that are Null 1 (another axis) and, for each seed of random weights that is wanted, Null 3.

    Args:
        run: a complete real run.
        wanted: kinds of controls of the run itself, as they are stored.
        options: how its benchmark is asked about.
        swaps: the same of the exchanged pictures; None = there are none.
        is_judged: whether verdicts about the run are wanted.
    """
    own = [
        Asked(template_to_ask(run.template), Control.parse(kind))
        for kind in wanted
        if kind_of(kind) not in {SHUFFLED_LABELS, RANDOM_WEIGHTS}
    ]
    if is_judged:
        own += [Asked(template) for template in YES_NO]
    has_scene = is_judged and swaps is not None
    if has_scene:
        own += _yes_no(_NULL_1)
    if own:
        yield options, own
    if has_scene and swaps is not None:
        yield swaps, [*(Asked(template) for template in YES_NO), *_yes_no(_NULL_1)]
    # Another model, and what it serves must be there.
    for kind in wanted:
        if kind_of(kind) == RANDOM_WEIGHTS:
            untrained = Control.parse(kind)
            null_3 = _yes_no(untrained) if has_scene else []
            yield options, [Asked(template_to_ask(run.template), untrained), *null_3]
            if swaps is not None and null_3:
                yield swaps, null_3


def _yes_no(control: Control) -> list[Asked]:
    return [Asked(template, control) for template in YES_NO]
