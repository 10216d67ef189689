"""Drawing: what is where in the picture."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from vlmprobe.demo import Scene, SceneObject, encode_png, render, sample_scene
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
        scene = sample_scene(np.random.Generator(np.random.PCG64(seed)), consistent=seed % 2 == 0)
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
