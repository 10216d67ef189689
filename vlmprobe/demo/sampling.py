"""Draws random scenes, many at once; draws candidates until each scene has one that fits its margins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.demo.scenes import (
    CAMERA_HEIGHT,
    DEPTHS,
    FOCAL,
    IMAGE_SIZE,
    N_GROUNDS,
    N_SKIES,
    NAMES,
    SceneBatch,
    SceneOptions,
)
from vlmprobe.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]

__all__ = ["sample_scenes"]

_HORIZON = (0.28, 0.38)
_TRUE_RADIUS = 0.45
_FLOATING_SHARE = 0.15
# In a counter scene the nearer object of the main pair has to float, or it could hardly be the higher one.
_FLOATING_SHARE_COUNTER = 0.95
# For `IMAGE_SIZE`: least distance of a floating object from its place on the ground, and from the edge.
_LIFT, _HEADROOM = 6.0, 2.0
# Two objects may overlap as long as their centers are this share of their summed radii apart.
_MIN_SEPARATION = 0.85
# About one draw in ten is accepted; running out means that the options are impossible.
_DRAWS, _MAX_ROUNDS = 16, 1000


def sample_scenes(
    rng: np.random.Generator, consistent: BoolArray, options: SceneOptions | None = None
) -> SceneBatch:
    """Draw scenes whose main pair keeps the margins of all three axes.

    Depths are log-uniform in 2.2 .. 8 scene units. Candidates are drawn until one has the wanted perspective,
    the margins, and no pair of objects that overlaps too much. The number of objects and the horizon are
    drawn once per scene, so that the rejection does not favor scenes with few objects.

    Args:
        rng: the source of all randomness; the same state gives the same scenes.
        consistent: (n,) whether each scene's farther object of the main pair is the higher one.
        options: size, margins, number of objects; the bundled checkpoints' when None.

    Raises:
        UsageError: no candidate out of 16,000 fits.

    """
    options = options or SceneOptions()
    n, most, size = len(consistent), options.max_objects, options.image_size
    horizon = rng.uniform(*_HORIZON, size=n) * size
    present = np.arange(most) < rng.integers(options.min_objects, most + 1, size=n)[:, None]
    floats = {name: np.zeros((n, most)) for name in ("x", "y", "depth", "radius", "ground_y")}
    missing = np.arange(n)
    for _ in range(_MAX_ROUNDS):
        drawn = _draw_candidates(rng, horizon[missing], consistent[missing], options)
        fits = _is_acceptable(drawn, present[missing], consistent[missing], options)
        found, first = fits.any(1), fits.argmax(1)
        for name, values in drawn.items():
            floats[name][missing[found]] = values[found, first[found]]
        missing = missing[~found]
        if not len(missing):
            break
    else:
        raise UsageError(
            f"no scene of {present[missing[0]].sum()} objects fits the margins after {_DRAWS * _MAX_ROUNDS} draws; "
            "use smaller margins or fewer objects"
        )
    return SceneBatch(
        **floats,
        name=rng.random((n, len(NAMES))).argsort(1)[:, :most],
        present=present,
        horizon=horizon,
        ground=rng.integers(N_GROUNDS, size=n),
        sky=rng.integers(N_SKIES, size=n),
        image_size=size,
    )


def _draw_candidates(
    rng: np.random.Generator, horizon: FloatArray, consistent: BoolArray, options: SceneOptions
) -> dict[str, FloatArray]:
    """Draw candidates for n scenes' objects, ignoring margins; (n, candidates, objects) of each value."""
    shape = (len(horizon), _DRAWS, options.max_objects)
    scale = options.image_size / IMAGE_SIZE
    nearest, farthest = DEPTHS
    depth = np.exp(rng.uniform(math.log(nearest), math.log(farthest), shape))
    true_radius = _TRUE_RADIUS * np.exp(rng.uniform(-options.size_jitter, options.size_jitter, shape))
    radius = FOCAL * scale * true_radius / depth
    ground_y = horizon[:, None, None] + FOCAL * scale * CAMERA_HEIGHT / depth

    floating_share = np.full(shape, _FLOATING_SHARE)
    nearer = depth[..., :2].argmin(-1)[..., None] == np.arange(2)
    floating_share[..., :2][nearer & ~consistent[:, None, None]] = _FLOATING_SHARE_COUNTER
    floats = rng.random(shape) < floating_share
    across, lifted = rng.random((2, *shape))

    standing = ground_y - radius
    highest = radius + _HEADROOM * scale
    in_the_air = highest + lifted * np.maximum(0.0, standing - _LIFT * scale - highest)
    return {
        # Up to a tenth of an object's width may leave the picture.
        "x": 0.8 * radius + across * (options.image_size - 1.6 * radius),
        "y": np.where(floats, in_the_air, standing),
        "depth": depth,
        "radius": radius,
        "ground_y": ground_y,
    }


def _is_acceptable(
    drawn: dict[str, FloatArray], present: BoolArray, consistent: BoolArray, options: SceneOptions
) -> BoolArray:
    """Return which candidates have the wanted perspective, all margins, and no overlap; (n, candidates)."""
    x, y, depth, radius = (drawn[name] for name in ("x", "y", "depth", "radius"))
    one, other = depth[..., 0], depth[..., 1]
    accepted: BoolArray = (one > other) == (y[..., 0] < y[..., 1])
    accepted = accepted == consistent[:, None]
    accepted &= np.abs(x[..., 0] - x[..., 1]) >= options.margin_x
    accepted &= np.abs(y[..., 0] - y[..., 1]) >= options.margin_y
    accepted &= np.maximum(one, other) >= options.depth_ratio * np.minimum(one, other)
    for i in range(options.max_objects):
        for j in range(i + 1, options.max_objects):
            apart = np.hypot(x[..., i] - x[..., j], y[..., i] - y[..., j])
            both = (present[:, i] & present[:, j])[:, None]
            accepted &= ~both | (apart >= _MIN_SEPARATION * (radius[..., i] + radius[..., j]))
    return accepted
