"""Draws a scene with NumPy: checkered ground in haze, sky, soft shadows, shaded solids, sensor noise.

Everything is computed at pixel centres (column i is at x = i + 0.5) in float64. Coverage is a signed distance
in pixels, clipped to [0, 1] around the outline, which gives smooth edges without supersampling.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.demo.scenes import CAMERA_HEIGHT, COLOURS, FOCAL, IMAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.demo.scenes import Scene, SceneObject

__all__ = ["encode_png", "render"]

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_GROUNDS = np.array(
    [[0.45, 0.52, 0.40], [0.55, 0.50, 0.42], [0.50, 0.50, 0.52], [0.40, 0.48, 0.42], [0.60, 0.55, 0.45]]
)
_SKIES = np.array([[0.62, 0.78, 0.95], [0.75, 0.80, 0.88], [0.85, 0.80, 0.75], [0.70, 0.85, 0.92]])
#: Standard deviation of the noise, in units of full brightness.
_NOISE = 0.012
# Depths, in scene units, over which the checkers fade and haze takes over on the ground and on objects.
_CHECKER_FADE, _GROUND_HAZE, _OBJECT_HAZE = 7.0, 25.0, 30.0
# An outline blurs by a pixel or two beyond its radius: what is farther out need not be computed.
_BLUR = 3


def render(scene: Scene) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Draw a scene.

    Returns:
        (140, 140, 3) uint8, RGB. A pure function of the scene, its noise included.

    """
    centres = np.arange(IMAGE_SIZE, dtype=np.float64) + np.float64(0.5)
    py, px = centres[:, None], centres[None, :]
    image = _background(scene, py, px)
    for thing in sorted(scene.objects, key=lambda thing: -thing.depth):
        _draw(image, thing, _SKIES[scene.sky], py, px)

    middle = IMAGE_SIZE / 2
    vignette = 1 - 0.18 * (((px - middle) / middle) ** 2 + ((py - middle) / middle) ** 2) / 2
    noise = np.random.Generator(np.random.PCG64(scene.noise_seed)).standard_normal(image.shape) * _NOISE
    shown = np.clip(image * vignette[:, :, None] + noise, 0.0, 1.0)
    return np.rint(shown * 255).astype(np.uint8)


def encode_png(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Encode an (height, width, 3) uint8 RGB image as PNG; same image and Pillow version, same bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def _background(scene: Scene, py: Array, px: Array) -> Array:
    """Draw sky and ground with the shadows that the objects cast on it; (140, 140, 3)."""
    sky_colour = _SKIES[scene.sky]
    # Half a pixel below the horizon at least: on it, the ground would be infinitely far away.
    depth = FOCAL * CAMERA_HEIGHT / np.maximum(py - scene.horizon, 0.5)
    across = (px - IMAGE_SIZE / 2) * depth / FOCAL
    checker = np.mod(np.floor(across) + np.floor(depth), 2.0) - 0.5
    ground = _GROUNDS[scene.ground] * (1 + checker * 0.34 * np.exp(-depth / _CHECKER_FADE))[:, :, None]
    ground = _blend(ground, sky_colour, (1 - np.exp(-depth / _GROUND_HAZE))[:, :, None])

    height = np.clip((scene.horizon - py) / scene.horizon, 0.0, 1.0)
    sky = sky_colour * (1 - 0.28 * height)[:, :, None]
    is_ground = np.clip(py - scene.horizon + 0.5, 0.0, 1.0)
    image = _blend(sky, ground, is_ground[:, :, None])
    for thing in scene.objects:
        image *= (1 - _shadow(thing, py, px) * is_ground)[:, :, None]
    return image


def _shadow(thing: SceneObject, py: Array, px: Array) -> Array:
    """How much light an object takes from the ground, 0 .. 0.55: a flat ellipse with a soft rim."""
    u = (px - thing.x) / (0.95 * thing.radius)
    v = (py - thing.ground_y + 0.08 * thing.radius) / (0.30 * thing.radius)
    return 0.55 * 2 * np.clip(1.25 - np.sqrt(u * u + v * v), 0.0, 0.5)


def _draw(image: Array, thing: SceneObject, sky_colour: Array, py: Array, px: Array) -> None:
    """Draw one object over the image, in place."""
    reach = thing.radius + _BLUR
    rows = slice(max(0, int(thing.y - reach)), int(thing.y + reach) + 1)
    columns = slice(max(0, int(thing.x - reach)), int(thing.x + reach) + 1)
    u = (px[:, columns] - thing.x) / thing.radius
    v = (py[rows] - thing.y) / thing.radius
    inside, shade = _SOLIDS[thing.shape](u, v)
    coverage = np.clip(inside * thing.radius + 0.5, 0.0, 1.0)[:, :, None]

    lit = np.clip(np.array(COLOURS[thing.colour]) * shade[:, :, None], 0.0, 1.0)
    colour = _blend(lit, sky_colour, 1 - np.exp(-thing.depth / _OBJECT_HAZE))
    image[rows, columns] = _blend(image[rows, columns], colour, coverage)


def _blend(below: Array, above: Array, share: Array | float) -> Array:
    return below * (1 - share) + above * share


# The solids take (u, v), pixel offsets from the centre in radii (right and down positive), and return how far
# inside the outline a pixel is, in radii (negative outside), and its brightness.


def _ball(u: Array, v: Array) -> tuple[Array, Array]:
    """Shape a sphere lit from the upper left, with a highlight."""
    squared = u * u + v * v
    towards_viewer = np.sqrt(np.maximum(0.0, 1 - squared))
    light = np.maximum(0.0, -0.45 * u - 0.65 * v + 0.62 * towards_viewer)
    return 1 - np.sqrt(squared), 0.35 + 0.75 * light + 0.8 * light**24


def _cube(u: Array, v: Array) -> tuple[Array, Array]:
    """Shape a box in oblique projection: front, a bright top, and a dark right side."""
    front = _least(u + 0.9, 0.55 - u, v + 0.45, 1 - v)
    up = (-0.45 - v) / 0.45
    top = _least(0.45 * up, 0.45 * (1 - up), u - 0.35 * up + 0.9, 0.55 + 0.35 * up - u)
    back = 0.45 * (u - 0.55) / 0.35
    side = _least(u - 0.55, 0.9 - u, v + 0.45 + back, 1 - back - v)
    shade = np.where(top >= np.maximum(front, side), 1.12, np.where(side > front, 0.5, 0.8))
    return np.maximum(np.maximum(front, top), side), shade


def _cone(u: Array, v: Array) -> tuple[Array, Array]:
    """Shape a cone with its tip up, lit from the left."""
    half_width = 0.85 * (v + 1) / 1.8
    body = _least(0.9 * (half_width - np.abs(u)), 0.8 - v, v + 1)
    shade = 1.1 - 0.65 * _bend(u / np.maximum(np.abs(half_width), 0.05))
    return np.maximum(body, _disc(u, v, 0.85, 0.8)), shade


def _cylinder(u: Array, v: Array) -> tuple[Array, Array]:
    """Shape an upright cylinder with a bright lid, lit from the left."""
    lid = _disc(u, v, 0.72, -0.8)
    body = np.maximum(np.minimum(0.72 - np.abs(u), 0.8 - np.abs(v)), _disc(u, v, 0.72, 0.8))
    shade = np.where(lid > 0, 1.15, 0.95 - 0.6 * _bend(u / 0.72))
    return np.maximum(body, lid), shade


def _disc(u: Array, v: Array, half_width: float, centre: float) -> Array:
    """How far inside a lying disc, seen as an ellipse of half height 0.2 about v = centre, a pixel is."""
    return 0.2 * (1 - np.sqrt((u / half_width) ** 2 + ((v - centre) / 0.2) ** 2))


def _bend(across: Array) -> Array:
    """How far a point of a round wall turns away from the light, which comes from 0.35 left of the middle."""
    return np.clip(np.abs(across + 0.35), 0.0, 1.2)


def _least(first: Array, *others: Array) -> Array:
    """Take the elementwise minimum: inside all of the edges."""
    for other in others:
        first = np.minimum(first, other)
    return first


_SOLIDS: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {
    "ball": _ball,
    "cube": _cube,
    "cone": _cone,
    "cylinder": _cylinder,
}
