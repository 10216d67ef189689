"""Wild test of a smooth statistic: fair signs on each image's influence stand for samples in which the truth is 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.inference.jackknife import Statistic

__all__ = ["wild_p_values"]

_CHUNK = 1024
_ROUNDING = 1e-12


def wild_p_values(
    statistics: Sequence[Statistic], *, seed: int, n_draws: int = 9999
) -> tuple[float | None, ...]:
    """Test each statistic against 0, two-sided, with the same signs for all.

    A draw is sum_g e_g x_g, e_g fair signs, one an image, and x_g the centered leave-one-outs, of which the squares sum
    to the jackknife's se^2 (Liu, Annals of Statistics 16, 1988). Flipping the signs of the data themselves would hold
    one of the two means of a product fixed, and reject a true null too often.

        p = (1 + #{|draw| >= |value|}) / (B + 1)

    Conservative where both members of a product are only noise.

    Args:
        statistics: K, over the same G images: the layers of a run, or a contrast and its parts.
        seed: of a PCG64 generator.
        n_draws: B.

    Returns:
        K p-values; None where the statistic has no interval.

    Raises:
        ValueError: the statistics are of different images.
    """
    if len({len(each.leave_outs) for each in statistics}) > 1:
        raise ValueError("a wild test shares its signs among statistics of the same images")
    tested = [place for place, each in enumerate(statistics) if not each.why_no_interval()]
    found: list[float | None] = [None] * len(statistics)
    if not tested:
        return tuple(found)
    plain = [statistics[place].plain() for place in tested]
    influences = np.stack([each.influences() for each in plain])
    observed = np.abs([each.value for each in plain])
    rng = np.random.Generator(np.random.PCG64(seed))
    n_images, exceeding = influences.shape[1], np.zeros(len(tested), dtype=np.int64)
    for start in range(0, n_draws, _CHUNK):
        rows = min(_CHUNK, n_draws - start)
        signs = rng.integers(2, size=(rows, n_images), dtype=np.int8) * np.int8(2) - np.int8(1)
        draws = np.abs(signs.astype(np.float64) @ influences.T)
        exceeding += (draws >= observed * (1 - _ROUNDING)).sum(axis=0)
    for place, count in zip(tested, exceeding.tolist(), strict=True):
        found[place] = (1 + count) / (n_draws + 1)
    return tuple(found)
