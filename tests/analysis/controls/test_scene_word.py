"""What exchanged pictures say of an axis: cosine, coherences, and Null 2 and Null 3, which should hold 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmprobe.analysis.controls import (
    WORD_LEFT,
    WORD_OUT,
    Counterbalanced,
    Evidence,
    null_2,
    null_3,
    scene_readings,
    scene_words,
    space_coherence,
)
from vlmprobe.analysis.geometry import Layout
from vlmprobe.analysis.geometry.estimates import NOT_RESOLVED

PAIRS, DIM = 80, 16
SIGNS = np.where(np.arange(PAIRS) % 2 == 0, 1.0, -1.0)[:, None]
OBJECTS = [(f"cup {place}", f"box {place}") for place in range(PAIRS)]
IMAGES = [f"image {place}" for place in range(PAIRS)]
SCENE, WORD, PLACE = np.eye(DIM)[:3]


def noise(seed, size=0.3):
    """Draw the noise of one run."""
    return size * np.random.default_rng(seed).normal(size=(PAIRS, DIM))


def evidence(scene=1.0, place=0.0, word=1.0, kept=0.0):
    """Make a world of an axis of the scene, an answer's word, and where objects lie, which any question sees.

    The second template reverses the word, but for what is kept of it.
    """
    seen, said, lies = SIGNS * scene * SCENE, SIGNS * word * WORD, SIGNS * place * PLACE
    reversed_word = (1 - 2 * kept) * said
    return Evidence(
        real=seen + noise(1),
        canonical=SIGNS[:, 0] > 0,
        images=IMAGES,
        answers=Counterbalanced(seen + said + noise(2), seen - reversed_word + noise(3)),
        scene=Counterbalanced(seen + said + lies + noise(4), seen - reversed_word + lies + noise(5)),
        null_1=Counterbalanced(lies + noise(6), lies + noise(7)),
    )


def test_the_word_and_the_place_are_no_part_of_the_scene():
    """The cosine is that of the scene alone; Null 1 takes away what any question sees."""
    found = scene_readings(evidence(place=1.0), OBJECTS)
    assert found is not None
    assert found.less_null_1 is not None
    assert found.disjoint_cosine is not None
    assert found.cosine.value == pytest.approx(np.sqrt(0.5), abs=0.05)
    assert found.cosine.ci_low is not None
    assert found.coherence.value > found.less_null_1.value
    assert found.disjoint.value == pytest.approx(found.coherence.value, abs=1e-9)
    assert found.disjoint_cosine.value == pytest.approx(1.0, abs=0.05)


def test_an_axis_that_is_not_there_has_no_cosine():
    """Refutes: the cosine of noise is a number. A picture's place alone is no axis once Null 1 is taken away."""
    found = scene_readings(evidence(scene=0.0, place=1.0), OBJECTS)
    assert found is not None
    assert found.less_null_1 is not None
    assert (found.cosine.value, found.cosine.reason) == (None, NOT_RESOLVED)
    assert found.less_null_1.ci_low <= 0 < found.coherence.ci_low


def test_what_the_second_template_leaves_of_the_word_is_no_scene():
    """A third of the word is in the half that both templates share, along the word's axis, which is taken out."""
    found = scene_readings(evidence(scene=0.0, kept=0.33), OBJECTS)
    assert found is not None
    assert found.less_null_1 is not None
    assert found.word_out
    for coherence in (found.coherence, found.less_null_1, found.disjoint):
        assert coherence.ci_low <= 0 <= coherence.ci_high
    assert found.cosine.reason == NOT_RESOLVED


def test_where_no_word_is_resolved_nothing_is_taken_out():
    """Refutes: the axis of a word that is not there is taken out as well. It would be a direction of noise."""
    world = evidence(word=0.0)
    found = scene_readings(world, OBJECTS)
    assert found is not None
    assert not found.word_out
    layout = Layout((SIGNS[:, 0] < 0).astype(int), IMAGES, 2)
    assert found.coherence == space_coherence(world.scene, layout, 0).estimate()


def test_a_number_beside_a_verdict_says_whether_the_word_is_out():
    """The half of the two yes/no templates alone is as it is, and says nothing."""
    for word, note in ((1.0, WORD_OUT), (0.0, WORD_LEFT)):
        space, *of_scene = scene_words(evidence(word=word))
        assert space.note == ""
        assert [each.statistic for each in of_scene] == ["coherence of the scene half", "scene_word.cosine"]
        assert {each.note for each in of_scene} == {note}


def test_null_2_takes_the_category_of_the_other_question():
    """It turns nothing here; the pair's own would, since the place turns with it. Unknown ones are left out."""
    world = evidence(place=1.0)
    own = [None if place % 5 == 0 else place % 4 < 2 for place in range(PAIRS)]
    found = null_2(world.null_1, own, IMAGES)
    assert found.ci_low <= 0 <= found.ci_high
    assert found.n_images == 64
    of_pair = null_2(world.null_1, [bool(sign > 0) for sign in SIGNS[:, 0]], IMAGES)
    assert of_pair.ci_low > 0


def test_null_3_is_read_as_the_scene_is_in_coordinates_of_its_own():
    """Refutes: the run's own scene or word is taken for that of random weights. Unasked, there is nothing."""
    world = evidence()
    assert null_3(world) is None
    untrained = replace(world, null_3=Counterbalanced(noise(8), noise(9)))
    found, word_out = null_3(untrained)
    assert not word_out
    assert found.ci_low <= 0 <= found.ci_high
    assert scene_readings(untrained, OBJECTS) == scene_readings(world, OBJECTS)
    leaks = replace(world, null_3=evidence(scene=1.0, kept=0.33).scene)
    found, word_out = null_3(leaks)
    assert word_out
    assert found == scene_readings(evidence(scene=1.0, kept=0.33), OBJECTS).coherence


def test_without_exchanged_pictures_there_is_nothing():
    """And without Null 1 only what needs none."""
    world = evidence()
    assert scene_readings(Evidence(world.real, world.canonical, IMAGES, answers=world.answers), None) is None
    found = scene_readings(
        Evidence(world.real, world.canonical, IMAGES, answers=world.answers, scene=world.scene), OBJECTS
    )
    assert found is not None
    assert (found.less_null_1, found.disjoint_cosine) == (None, None)
    assert found.coherence.is_resolved
