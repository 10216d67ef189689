"""Runs all checks of a benchmark, corrects their tests together, and words what they found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmprobe.analysis.inference import holm
from vlmprobe.analysis.leaks.design import (
    ANSWER_FIRST,
    ANSWER_OPTION,
    PERSPECTIVE,
    answer_first,
    answer_option,
    categories,
    duplicates,
    mention_order,
    perspective,
)
from vlmprobe.analysis.leaks.names import NAMES, leaks_of_names
from vlmprobe.analysis.leaks.sentences import sentence
from vlmprobe.pairs import DEPTH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.analysis.leaks.leak import Leak
    from vlmprobe.pairs import AxisSet, SwapPair

__all__ = ["N_DRAWS", "SEED", "find_leaks"]

#: 40 for each of up to 25 tests under Holm's rule, the data counted as one.
N_DRAWS = 999
SEED = 42
#: The checks whose p-values are corrected together. Words of new names are part of the test of names.
_TESTED = (NAMES, ANSWER_OPTION, ANSWER_FIRST, PERSPECTIVE)


def find_leaks(
    pairs: Sequence[SwapPair],
    axes: AxisSet,
    perspectives: Mapping[str, str] | None = None,
    *,
    n_draws: int = N_DRAWS,
    seed: int = SEED,
) -> list[Leak]:
    """Check what a benchmark's pairs give away without a look at their pictures.

    Args:
        pairs: as they are asked, worded by one template.
        axes: of the pairs; those without a pair are left out.
        perspectives: by the id of a distance pair, whether it is ``consistent``, ``counter`` or ``ambiguous``; None
            without boxes.
        n_draws: of each null of names.
        seed: of the draws.

    Returns:
        Check by check, within one by axis. Holm's rule holds over the tests: of benchmarks from which nothing leaks, at
        most 5 % raise an alarm.
    """
    by_axis = {axis: [pair for pair in pairs if pair.axis == axis] for axis in axes}
    asked = {axis: members for axis, members in by_axis.items() if members}
    names = [
        leak
        for axis, members in asked.items()
        for leak in leaks_of_names(axis, members, n_draws=n_draws, seed=seed)
    ]
    found = [
        *sorted(names, key=lambda leak: leak.name),
        *(perspective(axis, members, perspectives) for axis, members in asked.items() if axis == DEPTH),
        answer_option(pairs),
        answer_first(pairs),
        *(mention_order(axis, members) for axis, members in asked.items()),
        *(categories(axis, members) for axis, members in asked.items()),
        duplicates(pairs),
    ]
    adjusted = holm([leak.p_value if leak.name in _TESTED else None for leak in found])
    corrected = [replace(leak, p_holm=p_holm) for leak, p_holm in zip(found, adjusted, strict=True)]
    return [replace(leak, says=sentence(leak, corrected, axes)) for leak in corrected]
