"""Scenes: what two objects are to each other, and what sampling promises."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from vlmprobe.demo import Scene, SceneObject, is_consistent, keeps_margin, relation, sample_scene
from vlmprobe.errors import VlmprobeError
from vlmprobe.pairs.axes import Axis, Category

NEAR_BALL = SceneObject("red", "ball", x=40, y=90, depth=3, radius=18, ground_y=108)
FAR_CUBE = SceneObject("blue", "cube", x=100, y=60, depth=6, radius=9, ground_y=69)


def _sample(seed: int, *, consistent: bool = True) -> Scene:
    return sample_scene(np.random.Generator(np.random.PCG64(seed)), consistent=consistent)


def test_relation_is_what_the_subject_is_to_the_reference() -> None:
    """Smaller x is left, smaller y is above, and a larger depth is far; swapped objects get the opposite."""
    assert [relation(NEAR_BALL, FAR_CUBE, axis) for axis in Axis] == [
        Category.LEFT,
        Category.BELOW,
        Category.CLOSE,
    ]
    assert [relation(FAR_CUBE, NEAR_BALL, axis) for axis in Axis] == [
        Category.RIGHT,
        Category.ABOVE,
        Category.FAR,
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
        (Axis.HORIZONTAL, {"x": 52.0}, True),
        (Axis.HORIZONTAL, {"x": 51.9}, False),
        (Axis.VERTICAL, {"y": 80.0}, True),
        (Axis.VERTICAL, {"y": 80.1}, False),
        (Axis.DISTANCE, {"depth": 4.06}, True),
        (Axis.DISTANCE, {"depth": 4.04}, False),
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
        assert all(keeps_margin(first, second, axis) for axis in Axis)
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


def test_a_scene_that_no_draw_satisfies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling ends with one clear line, never with a scene that breaks its promise."""
    monkeypatch.setattr("vlmprobe.demo.scenes.MARGIN_X", 1000.0)
    monkeypatch.setattr("vlmprobe.demo.scenes._MAX_DRAWS", 20)
    with pytest.raises(VlmprobeError, match="fits the margins after 20 draws; use another seed"):
        _sample(0)


def test_a_box_covers_the_solid_and_stops_at_the_image() -> None:
    """A ball of radius 18 at (10, 90) reaches from -8: its box starts at 0. Cubes are narrower."""
    assert dataclasses.replace(NEAR_BALL, x=10).box == (0, 72, 28, 36)
    assert dataclasses.replace(FAR_CUBE, radius=10).box == (91, 51, 18, 19)
