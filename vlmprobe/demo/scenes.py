"""Toy scenes with a known geometry: coloured solids on a checkered plane, seen by a pinhole camera.

The camera looks along the ground from a height of 1.5 scene units; image rows grow downwards, so an object on
the ground that is farther away stands higher in the image. A floating object breaks that rule, which gives
the *counter* scenes. The first two objects of a scene are its main pair, the one that questions are about.

The constants are those of the scenes that the bundled checkpoints were trained on. Changing one of them takes
the pictures out of what those models know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vlmprobe.errors import VlmprobeError
from vlmprobe.pairs.axes import Axis, Category

__all__ = [
    "COLOURS",
    "IMAGE_SIZE",
    "MARGIN_X",
    "MARGIN_Y",
    "MIN_DEPTH_RATIO",
    "SHAPES",
    "Scene",
    "SceneObject",
    "is_consistent",
    "keeps_margin",
    "relation",
    "sample_scene",
]

#: Width and height of every image, pixels.
IMAGE_SIZE = 140
#: Name -> linear RGB in [0, 1].
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.12, 0.10),
    "green": (0.10, 0.62, 0.18),
    "blue": (0.12, 0.25, 0.85),
    "yellow": (0.95, 0.82, 0.10),
    "purple": (0.58, 0.18, 0.70),
    "white": (0.93, 0.93, 0.93),
}
SHAPES = ("ball", "cube", "cone", "cylinder")
#: The number of ground and sky colours that the renderer knows.
N_GROUNDS, N_SKIES = 5, 4

#: The main pair's centres differ by at least this much, pixels.
MARGIN_X = 12.0
MARGIN_Y = 10.0
#: The farther object of the main pair is at least this many times as far away as the nearer one.
MIN_DEPTH_RATIO = 1.35

#: Focal length in pixels, and the camera's height in scene units.
FOCAL, CAMERA_HEIGHT = 118.0, 1.5
_NEAREST, _FARTHEST = 2.2, 8.0
_HORIZON = (0.28, 0.38)
_TRUE_RADIUS = 0.45
# True sizes vary by this factor (in the logarithm), so that the apparent size alone cannot settle the depth.
_SIZE_JITTER = 0.25
_MIN_OBJECTS, _MAX_OBJECTS = 2, 4
_FLOATING_SHARE = 0.15
# In a counter scene the nearer object of the main pair has to float, or it could hardly be the higher one.
_FLOATING_SHARE_COUNTER = 0.95
_LIFT, _HEADROOM = 6.0, 2.0
# Two objects may overlap as long as their centres are this share of their summed radii apart.
_MIN_SEPARATION = 0.85
# About one draw in ten is accepted; running out means that a constant above has become impossible.
_MAX_DRAWS = 10_000

#: What a shape covers, in radii from its centre: half its width, its top and its bottom.
_EXTENT = {
    "ball": (1.0, -1.0, 1.0),
    "cube": (0.9, -0.9, 1.0),
    "cone": (0.85, -1.0, 1.0),
    "cylinder": (0.72, -1.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One solid, in image coordinates: pixels, origin at the upper left corner, y downwards."""

    colour: str
    shape: str
    x: float
    y: float
    """The centre."""
    depth: float
    """Distance from the camera along its axis, scene units."""
    radius: float
    """Half the apparent size, pixels."""
    ground_y: float
    """Where its shadow lies: the row at which the ground is as far away as the object."""

    @property
    def name(self) -> str:
        """Colour and shape, such as ``red ball``; distinct within a scene."""
        return f"{self.colour} {self.shape}"

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The bounding box (x, y, width, height) in whole pixels, clipped to the image; no shadow."""
        half_width, top, bottom = _EXTENT[self.shape]
        left = max(0, math.floor(self.x - half_width * self.radius))
        right = min(IMAGE_SIZE, math.ceil(self.x + half_width * self.radius))
        upper = max(0, math.floor(self.y + top * self.radius))
        lower = min(IMAGE_SIZE, math.ceil(self.y + bottom * self.radius))
        return left, upper, right - left, lower - upper


@dataclass(frozen=True, slots=True)
class Scene:
    """All that the renderer needs; the main pair is ``objects[0]`` and ``objects[1]``."""

    objects: tuple[SceneObject, ...]
    horizon: float
    """The row of the horizon, pixels."""
    ground: int
    sky: int
    """Which of the renderer's ground and sky colours."""
    noise_seed: int

    @property
    def main_pair(self) -> tuple[SceneObject, SceneObject]:
        """The two objects that questions are about."""
        return self.objects[0], self.objects[1]


def relation(subject: SceneObject, reference: SceneObject, axis: Axis) -> Category:
    """Say what the subject is to the reference on an axis; meaningful where `keeps_margin` holds."""
    if axis is Axis.HORIZONTAL:
        is_canonical = subject.x < reference.x
    elif axis is Axis.VERTICAL:
        is_canonical = subject.y < reference.y
    else:
        is_canonical = subject.depth > reference.depth
    return axis.canonical if is_canonical else axis.canonical.opposite


def keeps_margin(first: SceneObject, second: SceneObject, axis: Axis) -> bool:
    """Whether two objects are far enough apart on an axis for a question about it to have a clear answer."""
    if axis is Axis.HORIZONTAL:
        return abs(first.x - second.x) >= MARGIN_X
    if axis is Axis.VERTICAL:
        return abs(first.y - second.y) >= MARGIN_Y
    return max(first.depth, second.depth) >= MIN_DEPTH_RATIO * min(first.depth, second.depth)


def is_consistent(first: SceneObject, second: SceneObject) -> bool:
    """Whether perspective tells the truth about two objects: the farther one is higher in the image."""
    return (first.depth > second.depth) == (first.y < second.y)


def sample_scene(rng: np.random.Generator, *, consistent: bool) -> Scene:
    """Draw a scene of 2 to 4 objects whose main pair keeps the margins of all three axes.

    Depths are log-uniform in 2.2 .. 8 scene units. Candidates are drawn until one has the wanted perspective,
    the margins, and no pair of objects that overlaps too much. The number of objects and the horizon are
    drawn once per scene, so that the rejection does not favour scenes with few objects.

    Args:
        rng: the source of all randomness; the same state gives the same scene.
        consistent: whether the main pair's farther object is the higher one.

    Raises:
        VlmprobeError: no candidate out of 10,000 fits.

    """
    horizon = rng.uniform(*_HORIZON) * IMAGE_SIZE
    count = int(rng.integers(_MIN_OBJECTS, _MAX_OBJECTS + 1))
    for _ in range(_MAX_DRAWS):
        objects = _draw_objects(rng, count, horizon, consistent)
        if _is_acceptable(objects, consistent):
            return Scene(
                objects=objects,
                horizon=horizon,
                ground=int(rng.integers(N_GROUNDS)),
                sky=int(rng.integers(N_SKIES)),
                noise_seed=int(rng.integers(2**63)),
            )
    raise VlmprobeError(
        f"no scene of {count} objects fits the margins after {_MAX_DRAWS} draws; use another seed"
    )


def _draw_objects(
    rng: np.random.Generator, count: int, horizon: float, consistent: bool
) -> tuple[SceneObject, ...]:
    """Draw candidates for a scene's objects, with distinct names and no regard to margins."""
    depths = np.exp(rng.uniform(math.log(_NEAREST), math.log(_FARTHEST), count))
    true_radii = _TRUE_RADIUS * np.exp(rng.uniform(-_SIZE_JITTER, _SIZE_JITTER, count))
    names = rng.permutation(len(COLOURS) * len(SHAPES))[:count]
    floating_share = np.full(count, _FLOATING_SHARE)
    if not consistent:
        floating_share[int(np.argmin(depths[:2]))] = _FLOATING_SHARE_COUNTER
    floats = rng.uniform(size=count) < floating_share
    across, lifted = rng.uniform(size=(2, count))

    colours = list(COLOURS)
    objects = []
    for i in range(count):
        radius = FOCAL * true_radii[i] / depths[i]
        ground_y = horizon + FOCAL * CAMERA_HEIGHT / depths[i]
        y = ground_y - radius
        if floats[i]:
            highest = radius + _HEADROOM
            y = highest + lifted[i] * max(0.0, y - _LIFT - highest)
        objects.append(
            SceneObject(
                colour=colours[names[i] // len(SHAPES)],
                shape=SHAPES[names[i] % len(SHAPES)],
                # Up to a tenth of an object's width may leave the picture.
                x=float(0.8 * radius + across[i] * (IMAGE_SIZE - 1.6 * radius)),
                y=float(y),
                depth=float(depths[i]),
                radius=float(radius),
                ground_y=float(ground_y),
            )
        )
    return tuple(objects)


def _is_acceptable(objects: tuple[SceneObject, ...], consistent: bool) -> bool:
    """Whether the main pair has the wanted perspective and all margins, and nothing overlaps too much."""
    first, second = objects[:2]
    return (
        is_consistent(first, second) == consistent
        and all(keeps_margin(first, second, axis) for axis in Axis)
        and not any(_overlap(a, b) for i, a in enumerate(objects) for b in objects[i + 1 :])
    )


def _overlap(a: SceneObject, b: SceneObject) -> bool:
    return math.hypot(a.x - b.x, a.y - b.y) < _MIN_SEPARATION * (a.radius + b.radius)
