"""The highest value over layers, with an interval that knows that the highest was looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.inference.estimate import LEVEL, Estimate, upper_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.analysis.inference.jackknife import Statistic

__all__ = ["MIN_IMAGES_OF_PEAK", "simultaneous_peak"]

MIN_IMAGES_OF_PEAK = 50
TOO_FEW_FOR_PEAK = f"the interval of a peak needs {MIN_IMAGES_OF_PEAK} images"
_Z = 1.959963984540054
#: Numbers drawn at a time: 16 MiB.
_BLOCK = 2**21


def simultaneous_peak(
    layers: Sequence[Statistic], *, seed: int, n_draws: int = 4999
) -> tuple[Estimate, int | None]:
    """Return the highest value over layers with a simultaneous 95 % interval, and its place.

    [max_l (theta_l - c se_l), max_l (theta_l + c se_l)] on the layers' scale, c the 95 % point of the largest
    studentized deviation over layers under Gaussian multipliers on the images' influences (van der Vaart and Wellner
    1996, 2.9), times t / z. The value itself is too high by choosing; the interval covers the highest true value.

    Args:
        layers: one statistic each, over the same images and on the same scale.
        seed: of a PCG64 generator.
        n_draws: of multipliers.
    """
    known = [place for place, each in enumerate(layers) if np.isfinite(each.value)]
    if not known:
        n_images = min((each.n_images for each in layers), default=0)
        return Estimate(None, n_images, reason="no layer has a value"), None
    best = max(known, key=lambda place: layers[place].value)
    top = layers[best]
    used = [layers[place] for place in known if not layers[place].why_no_interval()]
    reason = top.why_no_interval() or (TOO_FEW_FOR_PEAK if top.n_images < MIN_IMAGES_OF_PEAK else "")
    if reason:
        return Estimate(top.value, top.n_images, reason=reason), best
    influences = np.stack([each.influences() for each in used])
    # Images of other axes have no influence in any layer, and need no draws.
    influences = influences[:, influences.any(axis=0)]
    se = np.sqrt(np.square(influences).sum(axis=1))
    largest = _largest(influences / se[:, None], n_draws, np.random.Generator(np.random.PCG64(seed)))
    factor = float(np.quantile(largest, 2 * LEVEL - 1)) * upper_quantile(top.n_images - 1) / _Z
    middle = np.array([float(each.scale.of(np.array(each.value))) for each in used])
    low, high = (top.scale.back(float(np.max(middle + sign * factor * se))) for sign in (-1, 1))
    return Estimate(top.value, top.n_images, top.se(), low, high), best


def _largest(shares: FloatArray, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """Return the largest |sum over images of a multiplier times its share| over layers, for each draw."""
    n_images = shares.shape[1]
    step = max(1, _BLOCK // n_images)
    found = np.empty(n_draws)
    for start in range(0, n_draws, step):
        end = min(start + step, n_draws)
        found[start:end] = np.abs(rng.standard_normal((end - start, n_images)) @ shares.T).max(axis=1)
    return found
