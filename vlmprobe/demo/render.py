"""Draws scenes: checkered ground in haze, sky, soft shadows, shaded solids, sensor noise.

One renderer for NumPy and torch: the functions of both that it needs have the same names. NumPy in float64 makes a
benchmark's images, byte for byte the same each time; torch draws a training's on a GPU.

Everything is computed at pixel centers (column i is at x = i + 0.5). Coverage is a signed distance in pixels,
clipped to [0, 1] around the outline, which gives smooth edges without supersampling.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlmprobe.demo.scenes import CAMERA_HEIGHT, COLOURS, FOCAL, IMAGE_SIZE, SHAPES, SceneBatch

if TYPE_CHECKING:
    from vlmprobe.demo.scenes import Scene

__all__ = ["NOISE", "encode_png", "render", "render_batch"]

#: Standard deviation of the noise, in units of full brightness.
NOISE = 0.012

_GROUNDS = (
    (0.45, 0.52, 0.40),
    (0.55, 0.50, 0.42),
    (0.50, 0.50, 0.52),
    (0.40, 0.48, 0.42),
    (0.60, 0.55, 0.45),
)
_SKIES = ((0.62, 0.78, 0.95), (0.75, 0.80, 0.88), (0.85, 0.80, 0.75), (0.70, 0.85, 0.92))
# Depths, in scene units, over which the checkers fade and haze takes over on the ground and on objects.
_CHECKER_FADE, _GROUND_HAZE, _OBJECT_HAZE = 7.0, 25.0, 30.0


class _Fixed(NamedTuple):
    """Constants that all scenes of one size share."""

    colours: Any
    grounds: Any
    skies: Any
    """(number, 3) RGB."""
    centres: Any
    """(S,) pixel centers."""


#: By device, dtype and size; while torch records a CUDA graph, nothing may be copied from the CPU.
_FIXED: dict[tuple[Any, ...], _Fixed] = {}


def render(scene: Scene) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Draw a scene.

    Returns:
        (S, S, 3) uint8, RGB. A pure function of the scene, its noise included.

    """
    shape = (scene.image_size, scene.image_size, 3)
    noise = np.random.Generator(np.random.PCG64(scene.noise_seed)).standard_normal(shape) * NOISE
    image = render_batch(SceneBatch.of(scene), noise.transpose(2, 0, 1)[None], np)[0]
    eight_bits: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    eight_bits = np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8)
    return eight_bits


def encode_png(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Encode an (height, width, 3) uint8 RGB image as PNG; same image and Pillow version, same bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def render_batch(scenes: SceneBatch, noise: Any, xp: Any) -> Any:
    """Draw scenes.

    Args:
        scenes: n of them, in arrays of the module ``xp``; of torch in float32 or float64, on any device.
        noise: (n, 3, S, S), already scaled (`NOISE`); added before brightness is clipped.
        xp: the module ``numpy`` or ``torch``.

    Returns:
        (n, 3, S, S) in [0, 1], RGB, in the scenes' dtype.

    """
    fixed = _fixed(scenes.x, scenes.image_size, xp)
    py, px = fixed.centres[None, :, None], fixed.centres[None, None, :]
    sky = fixed.skies[scenes.sky][:, :, None, None]
    image = _background(scenes, fixed, sky, py, px, xp)
    # The farthest is drawn first; absent objects leave no trace, whatever their place.
    order = xp.argsort(-scenes.depth, 1)
    sorted_values = [
        np.take_along_axis(values, order, 1) if xp is np else xp.gather(values, 1, order)
        for values in (scenes.x, scenes.y, scenes.depth, scenes.radius, scenes.name, scenes.present)
    ]
    for place in range(order.shape[1]):
        x, y, depth, radius, name, present = (values[:, place] for values in sorted_values)
        cx, cy, r = (values[:, None, None] for values in (x, y, radius))
        inside, shade = _solid((px - cx) / r, (py - cy) / r, (name % len(SHAPES))[:, None, None], xp)
        coverage = xp.clip(inside * r + 0.5, 0.0, 1.0) * present[:, None, None]
        colour = fixed.colours[name // len(SHAPES)][:, :, None, None]
        lit = xp.clip(colour * shade[:, None], 0.0, 1.0)
        haze = (1 - xp.exp(-depth / _OBJECT_HAZE))[:, None, None, None]
        image = _blend(image, _blend(lit, sky, haze), coverage[:, None])
    middle = scenes.image_size / 2
    vignette = 1 - 0.18 * (((px - middle) / middle) ** 2 + ((py - middle) / middle) ** 2) / 2
    return xp.clip(image * vignette[:, None] + noise, 0.0, 1.0)


def _fixed(like: Any, size: int, xp: Any) -> _Fixed:
    """Return the constants on the device of the scenes' arrays; they are created once per device."""
    key = (xp.__name__, getattr(like, "device", None), like.dtype, size)
    if key not in _FIXED:

        def array(values: Any) -> Any:
            made = xp.asarray(np.asarray(values, dtype=np.float64), dtype=like.dtype)
            return made if xp is np else made.to(like.device)

        _FIXED[key] = _Fixed(
            array(list(COLOURS.values())), array(_GROUNDS), array(_SKIES), array(np.arange(size) + 0.5)
        )
    return _FIXED[key]


def _background(scenes: SceneBatch, fixed: _Fixed, sky_colour: Any, py: Any, px: Any, xp: Any) -> Any:
    """Draw sky and ground with the shadows that the objects cast on it; (n, 3, S, S)."""
    focal = FOCAL * scenes.image_size / IMAGE_SIZE
    below = py - scenes.horizon[:, None, None]
    # Half a pixel below the horizon at least: on it, the ground would be infinitely far away.
    depth = focal * CAMERA_HEIGHT / xp.clip(below, 0.5, None)
    across = (px - scenes.image_size / 2) * depth / focal
    checker = xp.remainder(xp.floor(across) + xp.floor(depth), 2.0) - 0.5
    ground = fixed.grounds[scenes.ground][:, :, None, None]
    ground = ground * (1 + checker * 0.34 * xp.exp(-depth / _CHECKER_FADE))[:, None]
    ground = _blend(ground, sky_colour, (1 - xp.exp(-depth / _GROUND_HAZE))[:, None])

    height = xp.clip(-below / scenes.horizon[:, None, None], 0.0, 1.0)
    sky = sky_colour * (1 - 0.28 * height)[:, None]
    is_ground = xp.clip(below + 0.5, 0.0, 1.0)
    image = _blend(sky, ground, is_ground[:, None])
    for place in range(scenes.x.shape[1]):
        x, ground_y, radius, present = (
            values[:, place, None, None]
            for values in (scenes.x, scenes.ground_y, scenes.radius, scenes.present)
        )
        image = image * (1 - _shadow(px - x, py - ground_y, radius, xp) * present * is_ground)[:, None]
    return image


def _shadow(right: Any, down: Any, radius: Any, xp: Any) -> Any:
    """How much light an object takes from the ground, 0 .. 0.55: a flat ellipse with a soft rim."""
    u = right / (0.95 * radius)
    v = (down + 0.08 * radius) / (0.30 * radius)
    return 0.55 * 2 * xp.clip(1.25 - xp.sqrt(u * u + v * v), 0.0, 0.5)


def _blend(below: Any, above: Any, share: Any) -> Any:
    return below * (1 - share) + above * share


def _solid(u: Any, v: Any, shape: Any, xp: Any) -> tuple[Any, Any]:
    """Shape each object by its own kind.

    Args:
        u: (n, 1 or S, S) pixel offsets from the center in radii, to the right.
        v: (n, S, 1 or S) offsets downwards.
        shape: (n, 1, 1) numbers of `SHAPES`.
        xp: the module of the arrays.

    Returns:
        How far inside the outline a pixel is, in radii (negative outside), and its brightness; (n, S, S).

    """
    inside, shade = _ball(u, v, xp)
    for number, solid in ((1, _cube), (2, _cone), (3, _cylinder)):
        other_inside, other_shade = solid(u, v, xp)
        inside = xp.where(shape == number, other_inside, inside)
        shade = xp.where(shape == number, other_shade, shade)
    return inside, shade


def _ball(u: Any, v: Any, xp: Any) -> tuple[Any, Any]:
    """Shape a sphere lit from the upper left, with a highlight."""
    squared = u * u + v * v
    towards_viewer = xp.sqrt(xp.clip(1 - squared, 0.0, None))
    light = xp.clip(-0.45 * u - 0.65 * v + 0.62 * towards_viewer, 0.0, None)
    # Far outside, where nothing shows, the highlight's power would overflow.
    return 1 - xp.sqrt(squared), 0.35 + 0.75 * light + 0.8 * xp.clip(light, None, 1.5) ** 24


def _cube(u: Any, v: Any, xp: Any) -> tuple[Any, Any]:
    """Shape a box in oblique projection: front, a bright top, and a dark right side."""
    front = _least(xp, u + 0.9, 0.55 - u, v + 0.45, 1 - v)
    up = (-0.45 - v) / 0.45
    top = _least(xp, 0.45 * up, 0.45 * (1 - up), u - 0.35 * up + 0.9, 0.55 + 0.35 * up - u)
    back = 0.45 * (u - 0.55) / 0.35
    side = _least(xp, u - 0.55, 0.9 - u, v + 0.45 + back, 1 - back - v)
    shade = xp.where(
        top >= xp.maximum(front, side), 1.12, xp.where(side > front, 0.5, xp.full_like(front, 0.8))
    )
    return xp.maximum(xp.maximum(front, top), side), shade


def _cone(u: Any, v: Any, xp: Any) -> tuple[Any, Any]:
    """Shape a cone with its tip up, lit from the left."""
    half_width = 0.85 * (v + 1) / 1.8
    body = _least(xp, 0.9 * (half_width - xp.abs(u)), 0.8 - v, v + 1)
    shade = 1.1 - 0.65 * _bend(u / xp.clip(xp.abs(half_width), 0.05, None), xp)
    return xp.maximum(body, _disc(u, v, 0.85, 0.8, xp)), shade


def _cylinder(u: Any, v: Any, xp: Any) -> tuple[Any, Any]:
    """Shape an upright cylinder with a bright lid, lit from the left."""
    lid = _disc(u, v, 0.72, -0.8, xp)
    body = xp.maximum(xp.minimum(0.72 - xp.abs(u), 0.8 - xp.abs(v)), _disc(u, v, 0.72, 0.8, xp))
    shade = xp.where(lid > 0, 1.15, 0.95 - 0.6 * _bend(u / 0.72, xp))
    return xp.maximum(body, lid), shade


def _disc(u: Any, v: Any, half_width: float, center: float, xp: Any) -> Any:
    """How far inside a lying disc, seen as an ellipse of half height 0.2 about v = center, a pixel is."""
    return 0.2 * (1 - xp.sqrt((u / half_width) ** 2 + ((v - center) / 0.2) ** 2))


def _bend(across: Any, xp: Any) -> Any:
    """How far a point of a round wall turns away from the light, which comes from 0.35 left of the middle."""
    return xp.clip(xp.abs(across + 0.35), 0.0, 1.2)


def _least(xp: Any, first: Any, *others: Any) -> Any:
    """Take the elementwise minimum: inside all of the edges."""
    for other in others:
        first = xp.minimum(first, other)
    return first
