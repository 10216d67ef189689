"""Drawing: what is where in the picture."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from vlmprobe.demo import Scene, SceneObject, SceneOptions, encode_png, render, render_batch, sample_scenes
from vlmprobe.demo.render import NOISE
from vlmprobe.demo.scenes import IMAGE_SIZE, SHAPES

RED_BALL = SceneObject("red", "ball", x=70, y=75, depth=3, radius=18, ground_y=93)
SCENE = Scene(objects=(RED_BALL,), horizon=45, ground=0, sky=0, noise_seed=1)


def _box_of_changes(before: Scene, after: Scene) -> tuple[int, int, int, int]:
    """Find the box (x, y, width, height) of the pixels that differ clearly."""
    difference = np.abs(render(before).astype(int) - render(after)).max(axis=2)
    rows, columns = np.nonzero(difference > 40)
    return (
        int(columns.min()),
        int(rows.min()),
        int(np.ptp(columns)) + 1,
        int(np.ptp(rows)) + 1,
    )


def test_a_scene_is_drawn_the_same_every_time() -> None:
    """An image is 140 x 140 RGB and a function of its scene; only the noise hangs on the noise seed."""
    image = render(SCENE)
    assert image.shape == (140, 140, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, render(SCENE))
    noisier = render(dataclasses.replace(SCENE, noise_seed=2)).astype(int) - image
    assert 2.5 < noisier.std() < 6  # sqrt(2) * 0.012 * 255 = 4.3


def test_an_object_has_its_colour_at_its_centre() -> None:
    """Where a red ball is drawn, red leads; where it is not, it does not."""
    red, green, blue = render(SCENE)[75, 70].astype(int)
    assert red > 2 * green
    assert red > 2 * blue
    red, green, _ = render(dataclasses.replace(SCENE, objects=()))[75, 70].astype(int)
    assert red < 2 * green


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("x", [10.0, 70.0, 131.5])
def test_the_box_of_an_object_is_what_changes_with_its_colour(shape: str, x: float) -> None:
    """A blue object drawn yellow changes the picture within its box, up to 2 pixels, and in all of it."""
    blue = dataclasses.replace(RED_BALL, colour="blue", shape=shape, x=x)
    yellow = dataclasses.replace(blue, colour="yellow")
    changed = _box_of_changes(
        dataclasses.replace(SCENE, objects=(blue,)), dataclasses.replace(SCENE, objects=(yellow,))
    )
    np.testing.assert_allclose(changed, blue.box, atol=2)


def test_a_visible_object_changes_the_picture_inside_its_box() -> None:
    """Taking any object out of a sampled scene changes pixels in its box, and the box lies in the image."""
    for seed in range(20):
        rng = np.random.Generator(np.random.PCG64(seed))
        scene = sample_scenes(rng, np.array([seed % 2 == 0])).scene(0, noise_seed=seed)
        image = render(scene).astype(int)
        for thing in scene.objects:
            x, y, width, height = thing.box
            assert x >= 0
            assert y >= 0
            assert x + width <= IMAGE_SIZE
            assert y + height <= IMAGE_SIZE
            others = tuple(other for other in scene.objects if other is not thing)
            difference = np.abs(render(dataclasses.replace(scene, objects=others)) - image).max(axis=2)
            assert (difference[y : y + height, x : x + width] > 15).mean() > 0.25


def test_the_nearer_of_two_overlapping_objects_is_in_front() -> None:
    """Whatever the order of the objects, a near red ball hides a far blue one at the same place."""
    blue = dataclasses.replace(RED_BALL, colour="blue", depth=6)
    for objects in [(RED_BALL, blue), (blue, RED_BALL)]:
        red, _, blue_light = render(dataclasses.replace(SCENE, objects=objects))[75, 70].astype(int)
        assert red > 2 * blue_light


def test_a_shadow_falls_on_the_ground_and_not_on_the_sky() -> None:
    """A ball floating high darkens the ground where it belongs; a shadow above the horizon is not drawn."""
    floating = dataclasses.replace(RED_BALL, y=20, radius=10, ground_y=100)
    empty = render(dataclasses.replace(SCENE, objects=())).astype(int)
    shown = render(dataclasses.replace(SCENE, objects=(floating,))).astype(int)
    assert shown[98:101, 66:75].mean() < 0.6 * empty[98:101, 66:75].mean()
    in_the_sky = dataclasses.replace(floating, y=100, ground_y=20)
    shown = render(dataclasses.replace(SCENE, objects=(in_the_sky,))).astype(int)
    np.testing.assert_array_equal(shown[:40], empty[:40])


def test_png_keeps_every_pixel() -> None:
    """A decoded PNG is the image that was encoded."""
    decoded = Image.open(io.BytesIO(encode_png(render(SCENE))))
    assert decoded.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(decoded), render(SCENE))


@pytest.mark.parametrize("size", [56, 140])
def test_torch_draws_what_numpy_draws(size: int) -> None:
    """In float64 to rounding, in float32 to a thousandth but where a checker's edge falls on a pixel's centre."""
    import torch

    rng = np.random.default_rng(5)
    options = SceneOptions(image_size=size, margin_x=size / 12, margin_y=size / 14, max_objects=5)
    scenes = sample_scenes(rng, rng.random(16) < 0.5, options)
    noise = rng.standard_normal((16, 3, size, size)) * NOISE
    ours = render_batch(scenes, noise, np)
    assert ours.shape == (16, 3, size, size)
    for dtype, atol, exceptions in ((torch.float64, 1e-9, 0.0), (torch.float32, 1e-3, 2e-3)):
        changes = {}
        for field in dataclasses.fields(scenes):
            values = getattr(scenes, field.name)
            if isinstance(values, np.ndarray):
                tensor = torch.from_numpy(np.ascontiguousarray(values))
                changes[field.name] = tensor.to(dtype) if values.dtype == np.float64 else tensor
        theirs = render_batch(
            dataclasses.replace(scenes, **changes), torch.from_numpy(noise).to(dtype), torch
        )
        assert theirs.dtype == dtype
        assert (np.abs(theirs.double().numpy() - ours) > atol).mean() <= exceptions


def test_scenes_of_a_batch_do_not_touch_each_other() -> None:
    """One by one they look the same, whatever else is in the batch."""
    rng = np.random.default_rng(6)
    scenes = sample_scenes(rng, rng.random(8) < 0.5)
    noise = rng.standard_normal((8, 3, 140, 140)) * NOISE
    together = render_batch(scenes, noise, np)
    for number in range(8):
        one = {
            field.name: getattr(scenes, field.name)[number : number + 1]
            for field in dataclasses.fields(scenes)
            if field.name != "image_size"
        }
        alone = render_batch(dataclasses.replace(scenes, **one), noise[number : number + 1], np)
        np.testing.assert_allclose(alone[0], together[number], atol=1e-12)


def test_what_is_absent_leaves_no_trace() -> None:
    """A place without an object may hold any values."""
    rng = np.random.default_rng(7)
    scenes = sample_scenes(rng, np.ones(12, dtype=bool))
    noise = np.zeros((12, 3, 140, 140))
    elsewhere = np.where(scenes.present, scenes.x, 70.0)
    moved = dataclasses.replace(scenes, x=elsewhere)
    assert not scenes.present.all()
    np.testing.assert_array_equal(render_batch(moved, noise, np), render_batch(scenes, noise, np))


def test_a_larger_image_shows_the_same_scene() -> None:
    """Twice the size, averaged down again, is the picture: only edges and checkers differ."""
    large = dataclasses.replace(
        SCENE,
        objects=(dataclasses.replace(RED_BALL, x=140, y=150, radius=36, ground_y=186, image_size=280),),
        horizon=90,
        image_size=280,
    )
    small = render(SCENE).astype(float)
    down = render(large).astype(float).reshape(140, 2, 140, 2, 3).mean((1, 3))
    assert np.abs(down - small).mean() < 6
