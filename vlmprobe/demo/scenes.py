"""Toy scenes with a known geometry: colored solids on a checkered plane, seen by a pinhole camera.

The camera looks along the ground from a height of 1.5 scene units; image rows grow downwards, so an object on
the ground that is farther away stands higher in the image. A floating object breaks that rule, which gives
the *counter* scenes. The first two objects of a scene are its main pair, the one that questions are about.

Scenes are drawn by the batch, as arrays: training takes many at a time, a benchmark one. What differs between
benchmarks is in `SceneOptions`. The constants are those of the scenes that the bundled checkpoints were
trained on; after a change, images would no longer look like the training data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.errors import UsageError
from vlmprobe.pairs.axes import HORIZONTAL, VERTICAL, Axis, Category

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

__all__ = [
    "CAMERA_HEIGHT",
    "COLOURS",
    "DEPTHS",
    "FOCAL",
    "IMAGE_SIZE",
    "NAMES",
    "N_GROUNDS",
    "N_SKIES",
    "SHAPES",
    "Scene",
    "SceneBatch",
    "SceneObject",
    "SceneOptions",
    "is_consistent",
    "keeps_margin",
    "relation",
]

#: Width and height of the images that the bundled checkpoints were trained on, pixels.
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
#: Names of objects; a name's number is that of its color times the number of shapes, plus that of its shape.
NAMES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
#: The number of ground and sky colors that the renderer has.
N_GROUNDS, N_SKIES = 5, 4

#: Focal length in pixels of an image of `IMAGE_SIZE`, and the camera's height in scene units.
FOCAL, CAMERA_HEIGHT = 118.0, 1.5
#: Depths of the nearest and the farthest object, scene units.
DEPTHS = (2.2, 8.0)
# A merged patch of Qwen2.5-VL has this many pixels on a side.
_PATCH = 28
_SIZES = (56, 560)
# Nearly as far apart as objects can be.
_MAX_DEPTH_RATIO = 0.9 * DEPTHS[1] / DEPTHS[0]

#: A shape's extent in radii from its center: half its width, its top and its bottom.
_EXTENT = {
    "ball": (1.0, -1.0, 1.0),
    "cube": (0.9, -0.9, 1.0),
    "cone": (0.85, -1.0, 1.0),
    "cylinder": (0.72, -1.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """Options of scenes. The defaults are those that the bundled checkpoints were trained on.

    Raises:
        UsageError: a value that no scene can have.
    """

    image_size: int = IMAGE_SIZE
    """Width and height, pixels; a multiple of 28. Everything in the picture scales with it, margins do not."""
    margin_x: float = 12.0
    """Minimum horizontal distance between the main pair's centers, in pixels."""
    margin_y: float = 10.0
    """Minimum vertical distance, in pixels."""
    depth_ratio: float = 1.35
    """The farther object of the main pair is at least so many times as far away as the nearer one."""
    size_jitter: float = 0.25
    """True sizes vary by this much (in the logarithm), so that the apparent size alone cannot settle the depth."""
    min_objects: int = 2
    max_objects: int = 4

    def __post_init__(self) -> None:
        """Check that a scene can have these values."""
        if self.image_size % _PATCH or not _SIZES[0] <= self.image_size <= _SIZES[1]:
            raise UsageError(
                f"image size is {self.image_size}; it has to be a multiple of {_PATCH} from {_SIZES[0]} to {_SIZES[1]}"
            )
        for name, margin in (("margin x", self.margin_x), ("margin y", self.margin_y)):
            if not 0 <= margin <= self.image_size / 2:
                raise UsageError(f"{name} is {margin} px; it has to be between 0 and {self.image_size / 2:g}")
        if not 1 <= self.depth_ratio <= _MAX_DEPTH_RATIO:
            raise UsageError(
                f"depth ratio is {self.depth_ratio}; it has to be between 1 and {_MAX_DEPTH_RATIO:.2f}"
            )
        if not 0 <= self.size_jitter <= 1:
            raise UsageError(f"size jitter is {self.size_jitter}; it has to be between 0 and 1")
        if not 2 <= self.min_objects <= self.max_objects <= 6:
            raise UsageError(
                f"objects are {self.min_objects} to {self.max_objects}; use 2 to 6, the smaller number first"
            )


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One solid, in image coordinates: pixels, origin at the upper left corner, y downwards."""

    colour: str
    shape: str
    x: float
    y: float
    """The center."""
    depth: float
    """Distance from the camera along its axis, scene units."""
    radius: float
    """Half the apparent size, pixels."""
    ground_y: float
    """Where its shadow lies: the row at which the ground is as far away as the object."""
    image_size: int = IMAGE_SIZE
    """Width and height of the image that it is in."""

    @property
    def name(self) -> str:
        """Color and shape, such as ``red ball``; distinct within a scene."""
        return f"{self.colour} {self.shape}"

    def renamed(self, name: str) -> SceneObject:
        """Return another solid, one of `NAMES`, of this one's place and apparent size."""
        colour, shape = name.split()
        return replace(self, colour=colour, shape=shape)

    def moved_to(self, other: SceneObject, axis: Axis) -> SceneObject:
        """Return this solid, of its true size, where another one is on an axis, and where it was on the others."""
        if axis is HORIZONTAL:
            return replace(self, x=other.x)
        if axis is VERTICAL:
            return replace(self, y=other.y)
        radius = self.radius * self.depth / other.depth
        return replace(self, depth=other.depth, radius=radius, ground_y=other.ground_y)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The bounding box (x, y, width, height) in whole pixels, clipped to the image; no shadow."""
        half_width, top, bottom = _EXTENT[self.shape]
        left = max(0, math.floor(self.x - half_width * self.radius))
        right = min(self.image_size, math.ceil(self.x + half_width * self.radius))
        upper = max(0, math.floor(self.y + top * self.radius))
        lower = min(self.image_size, math.ceil(self.y + bottom * self.radius))
        return left, upper, right - left, lower - upper


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that the renderer needs; the main pair is ``objects[0]`` and ``objects[1]``."""

    objects: tuple[SceneObject, ...]
    horizon: float
    """The row of the horizon, pixels."""
    ground: int
    sky: int
    """Indices of the renderer's ground and sky colors."""
    noise_seed: int
    image_size: int = IMAGE_SIZE

    @property
    def main_pair(self) -> tuple[SceneObject, SceneObject]:
        """The two objects that questions are about."""
        return self.objects[0], self.objects[1]

    def exchanged(self, axis: Axis | None = None) -> Scene:
        """Return the scene with the main pair's solids in each other's places, or moved along one axis alone.

        Places, depths and apparent sizes stay, and so do shadows, the other objects and the noise: two pictures
        differ where the two objects are.

        Args:
            axis: exchange only what lies along it: columns, rows, or depths with the apparent sizes and shadows that
                these give. The two relations on the other axes stay as they are. Rows and depths are no longer tied
                by the ground then: a far solid may lie lower than its shadow.
        """
        first, second, *others = self.objects
        if axis is None:
            return replace(self, objects=(first.renamed(second.name), second.renamed(first.name), *others))
        return replace(self, objects=(first.moved_to(second, axis), second.moved_to(first, axis), *others))

    def roles(self, category: Category) -> tuple[SceneObject, SceneObject]:
        """Return the main pair as subject and reference of a category: which of the two is left, say, comes first."""
        first, second = self.main_pair
        return (first, second) if relation(first, second, category.axis) is category else (second, first)


@dataclass(frozen=True, slots=True)
class SceneBatch:
    """n scenes of up to m objects as arrays, of NumPy or of torch; objects 0 and 1 of each are its main pair."""

    x: Any
    """(n, m) floats, as are ``y``, ``depth``, ``radius`` and ``ground_y``: what `SceneObject` says."""
    y: Any
    depth: Any
    radius: Any
    ground_y: Any
    name: Any
    """(n, m) numbers of `NAMES`, different within a scene."""
    present: Any
    """(n, m) booleans: a scene of two objects leaves the other places empty, with values of no meaning."""
    horizon: Any
    """(n,) floats, pixels."""
    ground: Any
    sky: Any
    """(n,) numbers of the renderer's colors."""
    image_size: int

    @classmethod
    def of(cls, scene: Scene) -> SceneBatch:
        """Make a batch of one scene, which may be empty."""
        things = scene.objects

        def row(values: list[float]) -> FloatArray:
            return np.array([values], dtype=np.float64).reshape(1, len(things))

        return cls(
            x=row([thing.x for thing in things]),
            y=row([thing.y for thing in things]),
            depth=row([thing.depth for thing in things]),
            radius=row([thing.radius for thing in things]),
            ground_y=row([thing.ground_y for thing in things]),
            name=row([NAMES.index(thing.name) for thing in things]).astype(np.int64),
            present=np.ones((1, len(things)), dtype=np.bool_),
            horizon=np.array([scene.horizon]),
            ground=np.array([scene.ground]),
            sky=np.array([scene.sky]),
            image_size=scene.image_size,
        )

    def scene(self, number: int, noise_seed: int) -> Scene:
        """Return one scene of a batch of NumPy arrays."""
        objects = []
        for place in np.flatnonzero(self.present[number]):
            colour, shape = NAMES[self.name[number, place]].split()
            x, y, depth, radius, ground_y = (
                float(each[number, place])
                for each in (self.x, self.y, self.depth, self.radius, self.ground_y)
            )
            objects.append(SceneObject(colour, shape, x, y, depth, radius, ground_y, self.image_size))
        return Scene(
            objects=tuple(objects),
            horizon=float(self.horizon[number]),
            ground=int(self.ground[number]),
            sky=int(self.sky[number]),
            noise_seed=noise_seed,
            image_size=self.image_size,
        )


def relation(subject: SceneObject, reference: SceneObject, axis: Axis) -> Category:
    """Return what the subject is to the reference on an axis; meaningful where `keeps_margin` holds."""
    if axis is HORIZONTAL:
        is_canonical = subject.x < reference.x
    elif axis is VERTICAL:
        is_canonical = subject.y < reference.y
    else:
        is_canonical = subject.depth > reference.depth
    return axis.canonical if is_canonical else axis.canonical.opposite


def keeps_margin(
    first: SceneObject, second: SceneObject, axis: Axis, options: SceneOptions | None = None
) -> bool:
    """Whether two objects are far enough apart on an axis for a question about it to have a clear answer."""
    options = options or SceneOptions()
    if axis is HORIZONTAL:
        return abs(first.x - second.x) >= options.margin_x
    if axis is VERTICAL:
        return abs(first.y - second.y) >= options.margin_y
    return max(first.depth, second.depth) >= options.depth_ratio * min(first.depth, second.depth)


def is_consistent(first: SceneObject, second: SceneObject) -> bool:
    """Whether two objects agree with perspective: the farther one is higher in the image."""
    return (first.depth > second.depth) == (first.y < second.y)
