"""Wild test of a smooth statistic: fair signs on each image's influence stand for samples in which the truth is 0."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.analysis.inference.jackknife import Statistic

__all__ = ["N_DRAWS", "random_sign_p_values", "wild_p_values"]

#: B: a p-value of .0002 can be told from 0.
N_DRAWS = 4999
_CHUNK = 1024
#: Of sums in float32; draws that differ by less are equal.
_ROUNDING = 1e-5


def wild_p_values(
    statistics: Sequence[Statistic], *, seed: int, n_draws: int = N_DRAWS
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
    p_values = random_sign_p_values(
        np.stack([each.influences() for each in plain]),
        np.array([each.value for each in plain]),
        seed=seed,
        n_draws=n_draws,
    )
    for place, p_value in zip(tested, p_values, strict=True):
        found[place] = p_value
    return tuple(found)


def random_sign_p_values(terms: FloatArray, observed: FloatArray, *, seed: int, n_draws: int) -> list[float]:
    """Compare K values with sums of the images' terms under random signs, two-sided; all K share the signs.

    p = (1 + #{|sum_g e_g x_g| >= |value|}) / (B + 1), of which the smallest value is 1 / (B + 1) (Phipson and Smyth,
    2010). Where the terms sum to the value itself, this is the exact test of symmetry about 0.

    Args:
        terms: (K, G) x_g.
        observed: (K,) values.
        seed: of a PCG64 generator.
        n_draws: B.
    """
    exceeding = np.zeros(len(terms), dtype=np.int64)
    # In units of the observed value, which float32 may not reach otherwise.
    scale = np.where(observed == 0, 1.0, np.abs(observed))
    single = (terms / scale[:, None]).astype(np.float32)
    totals, limit = single.sum(axis=1), np.abs(observed) / scale * (1 - _ROUNDING)
    for start in range(0, n_draws, _CHUNK):
        # A sum with signs is twice that over the images with a plus, less the sum of all.
        plus = _draws_of_plus(seed, terms.shape[1], n_draws)[start : start + _CHUNK]
        sums = 2.0 * (plus.astype(np.float32) @ single.T) - totals
        exceeding += (np.abs(sums) >= limit).sum(axis=0)
    return [(1 + count) / (n_draws + 1) for count in exceeding.tolist()]


@lru_cache(maxsize=8)
def _draws_of_plus(seed: int, n_images: int, n_draws: int) -> npt.NDArray[np.bool_]:
    """Draw (B, G) which images have a plus; the layers of a run ask for the same."""
    rng = np.random.Generator(np.random.PCG64(seed))
    bits = rng.integers(256, size=(n_draws, (n_images + 7) // 8), dtype=np.uint8)
    return np.unpackbits(bits, axis=1, count=n_images).view(np.bool_)
