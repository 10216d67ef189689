"""Scenes: what two objects are to each other, and what sampling promises."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from vlmprobe.demo import (
    Scene,
    SceneBatch,
    SceneObject,
    SceneOptions,
    is_consistent,
    keeps_margin,
    relation,
    sample_scenes,
)
from vlmprobe.demo.scenes import NAMES
from vlmprobe.errors import UsageError
from vlmprobe.pairs.axes import (
    ABOVE,
    BELOW,
    CLOSE,
    DISTANCE,
    FAR,
    HORIZONTAL,
    LEFT,
    RIGHT,
    SPACE,
    VERTICAL,
    Axis,
)

NEAR_BALL = SceneObject("red", "ball", x=40, y=90, depth=3, radius=18, ground_y=108)
FAR_CUBE = SceneObject("blue", "cube", x=100, y=60, depth=6, radius=9, ground_y=69)


def _sample(seed: int, *, consistent: bool = True) -> Scene:
    rng = np.random.Generator(np.random.PCG64(seed))
    return sample_scenes(rng, np.array([consistent])).scene(0, noise_seed=seed)


def _batch(
    n: int, *, consistent: bool = True, options: SceneOptions | None = None, seed: int = 0
) -> SceneBatch:
    return sample_scenes(np.random.Generator(np.random.PCG64(seed)), np.full(n, consistent), options)


def test_relation_is_what_the_subject_is_to_the_reference() -> None:
    """Smaller x is left, smaller y is above, and a larger depth is far; swapped objects get the opposite."""
    assert [relation(NEAR_BALL, FAR_CUBE, axis) for axis in SPACE.axes] == [
        LEFT,
        BELOW,
        CLOSE,
    ]
    assert [relation(FAR_CUBE, NEAR_BALL, axis) for axis in SPACE.axes] == [
        RIGHT,
        ABOVE,
        FAR,
    ]


def test_perspective_is_consistent_when_the_farther_object_is_higher() -> None:
    """The far cube above the near ball is consistent, in either order; the cube below it is counter."""
    low_cube = dataclasses.replace(FAR_CUBE, y=120)
    assert is_consistent(NEAR_BALL, FAR_CUBE)
    assert is_consistent(FAR_CUBE, NEAR_BALL)
    assert not is_consistent(NEAR_BALL, low_cube)


@pytest.mark.parametrize(
    ("axis", "change", "kept"),
    [
        (HORIZONTAL, {"x": 52.0}, True),
        (HORIZONTAL, {"x": 51.9}, False),
        (VERTICAL, {"y": 80.0}, True),
        (VERTICAL, {"y": 80.1}, False),
        (DISTANCE, {"depth": 4.06}, True),
        (DISTANCE, {"depth": 4.04}, False),
    ],
)
def test_margins_are_12_px_across_10_px_down_and_a_depth_ratio_of_1_35(
    axis: Axis, change: dict[str, Any], kept: bool
) -> None:
    """Next to a ball at x 40, y 90 and depth 3, an object keeps the margin from exactly there on."""
    assert keeps_margin(NEAR_BALL, dataclasses.replace(FAR_CUBE, **change), axis) is kept


@pytest.mark.parametrize("consistent", [True, False])
def test_a_sampled_scene_keeps_every_margin_and_the_wanted_perspective(consistent: bool) -> None:
    """In 100 scenes the main pair is clear on all three axes, and names are distinct."""
    for seed in range(100):
        scene = _sample(seed, consistent=consistent)
        first, second = scene.main_pair
        assert all(keeps_margin(first, second, axis) for axis in SPACE.axes)
        assert is_consistent(first, second) is consistent
        assert len({thing.name for thing in scene.objects}) == len(scene.objects)


def test_scenes_have_two_three_or_four_objects_about_equally_often() -> None:
    """Of 300 scenes, each count has about a third: crowded scenes are rejected no more than others."""
    counts = np.bincount([len(_sample(seed).objects) for seed in range(300)], minlength=5)
    assert counts.sum() == counts[2:5].sum() == 300
    assert counts[2:5].min() > 70


def test_the_same_seed_gives_the_same_scene() -> None:
    """A scene is a value: equal seeds give equal scenes, other seeds others."""
    assert _sample(7) == _sample(7)
    assert _sample(7) != _sample(8)


def test_many_scenes_at_once_are_like_many_drawn_one_by_one() -> None:
    """Depth, height and place of the first object have the same distribution: the batch is no other sampler."""
    from scipy.stats import ks_2samp

    together, alone = _batch(600, consistent=False), [_sample(seed, consistent=False) for seed in range(600)]
    for name in ("x", "y", "depth", "radius"):
        ours = getattr(together, name)[:, 0]
        assert ks_2samp(ours, [getattr(scene.objects[0], name) for scene in alone]).pvalue > 0.001


def test_perspectives_may_be_mixed_in_a_batch() -> None:
    """Each scene has the one that was asked for it."""
    wanted = np.arange(40) % 3 == 0
    batch = sample_scenes(np.random.default_rng(4), wanted)
    scenes = [batch.scene(number, noise_seed=0) for number in range(40)]
    assert [is_consistent(*scene.main_pair) for scene in scenes] == wanted.tolist()


def test_a_scene_goes_into_a_batch_and_comes_back() -> None:
    """Arrays and objects say the same."""
    scene = _sample(3)
    assert SceneBatch.of(scene).scene(0, scene.noise_seed) == scene
    assert {thing.name for thing in scene.objects} <= set(NAMES)


def test_options_hold_in_every_scene() -> None:
    """Margins, numbers of objects and size are those asked for; everything else scales with the image."""
    options = SceneOptions(
        image_size=280, margin_x=60, margin_y=45, depth_ratio=1.8, min_objects=5, max_objects=6
    )
    batch = _batch(60, options=options)
    for number in range(60):
        scene = batch.scene(number, noise_seed=0)
        assert all(keeps_margin(*scene.main_pair, axis, options) for axis in SPACE.axes)
        assert 5 <= len(scene.objects) <= 6
        for thing in scene.objects:
            x, y, width, height = thing.box
            assert 0 <= x <= x + width <= 280
            assert 0 <= y <= y + height <= 280
    usual = _batch(60)
    assert batch.radius.max() == pytest.approx(2 * usual.radius.max(), rel=0.2)


def test_without_jitter_the_apparent_size_is_the_depth() -> None:
    """All solids have one true size; with it, they differ by up to its exponential either way."""
    options = SceneOptions(size_jitter=0.0)
    batch = _batch(20, options=options)
    np.testing.assert_allclose((batch.radius * batch.depth)[batch.present], 118 * 0.45)
    usual = _batch(200)
    true = np.log((usual.radius * usual.depth)[usual.present] / (118 * 0.45))
    assert 0.2 < np.abs(true).max() <= 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 141}, "image size is 141; it has to be a multiple of 28 from 56 to 560"),
        ({"image_size": 28}, "image size is 28"),
        ({"margin_x": 71.0}, "margin x is 71.0 px; it has to be between 0 and 70"),
        ({"margin_y": float("nan")}, "margin y is nan px"),
        ({"depth_ratio": 0.5}, "depth ratio is 0.5; it has to be between 1 and 3.27"),
        ({"size_jitter": -0.1}, "size jitter is -0.1; it has to be between 0 and 1"),
        ({"min_objects": 1}, "objects are 1 to 4; use 2 to 6"),
        ({"min_objects": 5}, "objects are 5 to 4; use 2 to 6, the smaller number first"),
    ],
)
def test_an_option_that_no_scene_can_have_is_refused(options: dict[str, Any], message: str) -> None:
    """One line says what it has to be."""
    with pytest.raises(UsageError, match=message):
        SceneOptions(**options)


def test_options_that_leave_no_room_end_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling ends, never with a scene that breaks its promise."""
    monkeypatch.setattr("vlmprobe.demo.sampling._MAX_ROUNDS", 20)
    crowded = SceneOptions(margin_x=70, margin_y=70, depth_ratio=3.2, min_objects=6, max_objects=6)
    with pytest.raises(
        UsageError, match="of 6 objects fits the margins after 320 draws; use smaller margins"
    ):
        _batch(1, consistent=False, options=crowded)


def test_a_box_covers_the_solid_and_stops_at_the_image() -> None:
    """A ball of radius 18 at (10, 90) reaches from -8: its box starts at 0. Cubes are narrower."""
    assert dataclasses.replace(NEAR_BALL, x=10).box == (0, 72, 28, 36)
    assert dataclasses.replace(FAR_CUBE, radius=10).box == (91, 51, 18, 19)
