"""The rules that say what an axis is of, in worlds where it is known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from vlmprobe.analysis.controls import (
    VERSION,
    Counterbalanced,
    Evidence,
    Origin,
    chance_cosine,
    verdict,
)
from vlmprobe.analysis.controls.deltas import without_axis
from vlmprobe.analysis.controls.verdict import BY_CHANCE, NO_EXCHANGE, ONE_BLIND
from vlmprobe.analysis.geometry.estimates import TOO_FEW_IMAGES

from ...statistics import run
from ...statistics.experiment import Experiment
from ...statistics.outcomes import FALSE_SCENE, POWER
from ...statistics.scene_experiments import SCENES, WITH_SPACE, WITHOUT_SPACE
from ...statistics.scene_trials import scene_verdict
from ...statistics.scene_world import SceneWorld
from ...statistics.verdicts import BARS

STRONG = SceneWorld(space=0.3, cosine=0.9)
CLEAR = 0.001
#: Studies of these worlds have one blind control.
ALONE = f"{ONE_BLIND} (blind)"


def evidence(world, seed=1):
    """One study of a world."""
    return world.evidence(np.random.default_rng(seed))


def origin(world, p_axis=CLEAR):
    """Return the verdict on a study whose axis test is given."""
    return verdict(evidence(world), p_axis).origin


def kept(half, rows):
    """Leave some pairs unasked in both templates."""
    arrays = (np.where(rows[:, None], each, np.nan) for each in (half.first, half.opposite))
    return Counterbalanced(*arrays)


@pytest.mark.parametrize(
    ("world", "expected", "rule"),
    [
        (SceneWorld(), Origin.NO_AXIS, 1),
        (SceneWorld(names=0.2), Origin.CONTROLS, 2),
        (SceneWorld(word=0.3), Origin.ANSWER, 3),
        (SceneWorld(word=0.3, position=0.2), Origin.ANSWER, 3),
        (SceneWorld(names=0.2, amplified=3), Origin.OPEN, 4),
        (SceneWorld(space=0.3, cosine=0.0), Origin.OPEN, 5),
        (SceneWorld(space=0.5, cosine=0.12, pairs=400), Origin.OPEN, 5),
        (STRONG, Origin.SCENE, 6),
    ],
)
def test_each_world_ends_at_its_rule(world, expected, rule):
    """The last row decided: its bound is at or below what it must lie above, or the list was passed."""
    found = verdict(evidence(world), CLEAR)
    assert (found.origin, found.rows[-1].rule, found.version) == (expected, rule, VERSION)
    assert [row.holds for row in found.rows[:-1]] == [True] * (len(found.rows) - 1)
    last = found.rows[-1]
    assert last.holds == (expected is Origin.SCENE) == (last.low > last.limit)
    assert last.low < last.value


def test_answers_that_say_nothing_are_no_axis_of_words():
    """Refutes a claim from a null: where neither half of the yes/no runs is seen, the origin is open."""
    study = evidence(STRONG)
    rng = np.random.default_rng(2)
    noise = Counterbalanced(*(rng.normal(size=study.real.shape) for _ in range(2)))
    found = verdict(replace(study, answers=noise), CLEAR)
    assert (found.origin, found.rows[-1].rule) == (Origin.OPEN, 3)
    assert found.rows[-2].statistic == "|alpha|^2 of the word half"
    assert verdict(evidence(SceneWorld(word=0.3)), CLEAR).rows[-2].holds


def test_one_blind_control_alone_is_noted():
    """With two there is no note."""
    study = evidence(STRONG)
    assert ALONE in verdict(study, CLEAR).note
    both = {"grey": study.blind["blind"], "other-image:0": study.blind["blind"]}
    assert ONE_BLIND not in verdict(replace(study, blind=both), CLEAR).note


def test_a_trace_of_the_answer_that_only_yes_and_no_have_is_not_the_axis():
    """Refutes rules 1 to 5 alone: of 20 studies, all pass them, and few have it along the published axis."""
    world = SceneWorld(word=0.5, aside=0.1)
    found = [verdict(evidence(world, seed), CLEAR) for seed in range(20)]
    assert {each.rows[-1].rule for each in found} == {6}
    assert sum(each.origin is Origin.SCENE for each in found) <= 10
    assert {each.origin for each in found} <= {Origin.SCENE, Origin.OPEN}


def test_position_under_any_question_is_not_the_axis():
    """Null 1 is subtracted as vectors: what an exchange of pictures does under another question is no answer."""
    world = SceneWorld(space=0.0, names=0.3, amplified=3, position=0.3)
    found = verdict(evidence(world), CLEAR)
    assert (found.origin, found.rows[-1].statistic) == (Origin.OPEN, "|alpha(scene half - Null 1)|^2")
    assert found.rows[-2].holds  # the exchange alone has an axis


@pytest.mark.parametrize(("p_axis", "expected"), [(0.05, Origin.SCENE), (0.0501, Origin.NO_AXIS)])
def test_an_axis_needs_its_p_value(p_axis, expected):
    """However large |alpha|^2 is."""
    assert origin(STRONG, p_axis) is expected


def test_an_axis_needs_a_resolved_size_too():
    """A p-value may come from directions alone, which turn an order effect into an axis where noise is unequal."""
    found = verdict(evidence(SceneWorld()), CLEAR)
    assert found.origin is Origin.NO_AXIS
    assert [row.holds for row in found.rows] == [True, False]


def test_a_control_with_an_axis_elsewhere_does_not_explain_one():
    """Refutes the difference of sizes: equal ones say nothing of the direction."""
    study = evidence(STRONG)
    signs = np.where(study.canonical, 1.0, -1.0)[:, None]
    alpha = (study.real * signs).mean(axis=0)
    elsewhere = np.roll(alpha, 7)  # as long, and along other dimensions
    noise = study.blind["blind"]
    as_large = {"blind": noise + signs * elsewhere}
    assert verdict(replace(study, blind=as_large), CLEAR).origin is Origin.SCENE
    the_same = {"blind": noise + signs * alpha}
    assert verdict(replace(study, blind=the_same), CLEAR).origin is Origin.CONTROLS


def test_the_verdict_names_the_controls_that_have_the_axis():
    """Of several, those whose bound is not above 0."""
    study = evidence(STRONG)
    rng = np.random.default_rng(5)
    leaks = study.real + 0.1 * rng.normal(size=study.real.shape)
    found = verdict(replace(study, blind={"gray": study.blind["blind"], "another picture": leaks}), CLEAR)
    assert (found.origin, found.controls) == (Origin.CONTROLS, ("another picture",))
    assert str(found) == "axis, but also in the controls (another picture)"


@pytest.mark.parametrize(
    ("left_out", "expected", "said"),
    [
        ({"blind": {}}, Origin.NONE, "blind"),
        ({"answers": None}, Origin.NONE, "yes-no-opposite"),
        ({"null_1": None}, Origin.NONE, "Null 1"),
    ],
)
def test_a_missing_control_is_asked_for(left_out, expected, said):
    """Rather than taken as passed, or as failed."""
    found = verdict(replace(evidence(STRONG), **left_out), CLEAR)
    assert found.origin is expected
    assert said in found.missing
    assert str(found) == f"no verdict: {found.missing}"
    assert all(row.holds for row in found.rows)


def test_a_control_that_no_rule_needs_may_be_missing():
    """No axis is no axis, whatever else was run; without exchanged pictures the origin is open."""
    bare = {"blind": {}, "answers": None, "scene": None, "null_1": None}
    assert verdict(replace(evidence(SceneWorld()), **bare), 0.8).origin is Origin.NO_AXIS
    open_ = verdict(replace(evidence(STRONG), scene=None, null_1=None), CLEAR)
    assert (open_.origin, open_.note, open_.missing) == (Origin.OPEN, f"{NO_EXCHANGE}; {ALONE}", "")
    leaks = replace(evidence(SceneWorld(names=0.2)), answers=None, scene=None)
    assert verdict(leaks, CLEAR).origin is Origin.CONTROLS


def test_what_cannot_be_computed_is_no_verdict():
    """Too few images for a bound, or an axis that could not be tested: neither yes nor no."""
    few = evidence(replace(STRONG, pairs=8))
    found = verdict(few, CLEAR)
    assert (found.origin, found.missing) == (Origin.NONE, TOO_FEW_IMAGES)
    assert found.rows[-1].low is None
    assert found.rows[-1].holds is None
    assert verdict(evidence(STRONG), None).origin is Origin.NONE


def test_pairs_that_were_not_asked_are_left_out_there_alone():
    """Exchanged pictures may be had of some pairs; a row of NaN is none of them."""
    study = evidence(STRONG)
    rows = np.arange(len(study.real)) % 2 == 0
    some = replace(study, scene=kept(study.scene, rows), null_1=kept(study.null_1, rows))
    found = {row.statistic: row.n_images for row in verdict(some, CLEAR).rows}
    assert found["|alpha|^2"] == 100
    assert found["|alpha|^2 of the scene half"] == 50
    inside = {
        name: Counterbalanced(half.first[rows], half.opposite[rows])
        for name, half in (("scene", study.scene), ("null_1", study.null_1))
    }
    half = Evidence(study.real[rows], study.canonical[rows], np.array(study.images)[rows], **inside)
    alone = verdict(
        replace(half, blind={"blind": study.blind["blind"][rows]}, answers=inside["scene"]), CLEAR
    )
    mixed = next(row for row in verdict(some, CLEAR).rows if row.statistic == "|alpha|^2 of the scene half")
    same = next(row for row in alone.rows if row.statistic == mixed.statistic)
    assert mixed == replace(same, value=pytest.approx(same.value), low=pytest.approx(same.low))


def test_copies_of_pairs_bring_no_certainty():
    """Four copies of each pair about one image: the same bounds, not bounds from four times as many pairs."""
    study = evidence(SceneWorld(space=0.1))

    def four(array):
        return np.repeat(array, 4, axis=0)

    halves = {
        name: Counterbalanced(four(each.first), four(each.opposite))
        for name, each in (("answers", study.answers), ("scene", study.scene), ("null_1", study.null_1))
    }
    blind = {"blind": four(study.blind["blind"])}
    copied = Evidence(
        four(study.real), four(study.canonical), four(np.array(study.images)), blind=blind, **halves
    )
    once, often = verdict(study, CLEAR), verdict(copied, CLEAR)
    for one, other in zip(once.rows[1:], often.rows[1:], strict=True):
        assert (other.value, other.low) == (pytest.approx(one.value), pytest.approx(one.low))


def test_what_does_not_fit_is_refused():
    """Pair for pair means the same shape, and half a vector is no missing pair."""
    study = evidence(STRONG)
    with pytest.raises(ValueError, match="yes/no"):
        verdict(replace(study, answers=Counterbalanced(study.real[1:], study.real[1:])), CLEAR)
    with pytest.raises(ValueError, match="same pairs"):
        Counterbalanced(study.real[1:], study.real)
    broken = study.real.copy()
    broken[3, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        verdict(replace(study, real=broken), CLEAR)


def test_random_directions_are_as_alike_as_their_dimensions_allow():
    """Oracle: in D dimensions, all alike, the cosine's size has its 95 % point near 1.96 / sqrt(D); in one it is 1."""
    rng = np.random.default_rng(3)
    canonical = np.arange(2000) % 2 == 0
    for dim in (25, 100):
        noise = rng.normal(size=(2, 2000, dim))
        assert chance_cosine(*noise, canonical, seed=1) == pytest.approx(1.96 / np.sqrt(dim), rel=0.12)
    line = rng.normal(size=(2000, 1)) * np.ones(9)
    assert chance_cosine(line, 2 * line, canonical, seed=1) == pytest.approx(1.0)
    assert chance_cosine(np.ones((4, 3)), np.ones((4, 3)), canonical[:4], seed=1) is None
    # The axis itself is no chance: it is in both, and leaves the limit where it is.
    axis = np.where(canonical, 9.0, -9.0)[:, None] * np.eye(1, 25)
    deltas = rng.normal(size=(2, 2000, 25)) + axis
    assert chance_cosine(*deltas, canonical, seed=1) < 0.5
    some = np.where((np.arange(2000) < 200)[:, None], deltas[0], np.nan)
    assert chance_cosine(some, deltas[1], canonical, seed=1) < 0.5


def test_a_cosine_that_chance_reaches_is_noted():
    """In few dimensions .2 is not far from 0; the verdict stands, and says what it is worth."""
    world = replace(STRONG, cosine=0.4, narrow=True)
    found = verdict(evidence(world), CLEAR)
    assert (found.origin, found.note.startswith(BY_CHANCE)) == (Origin.SCENE, True)
    assert verdict(evidence(replace(STRONG, cosine=0.99)), CLEAR).note == ALONE


@pytest.mark.parametrize("kept", [0.1, 0.33])
def test_a_word_that_is_not_quite_reversed_is_no_scene(kept):
    """What lies along the word's axis is taken out of both halves, where it would be one axis by itself."""
    study = evidence(SceneWorld(word=0.8, kept=kept))
    assert verdict(study, CLEAR).origin is Origin.ANSWER
    space = study.answers.space
    left = without_axis(space, study.answers.word, study.canonical)
    signs = np.where(study.canonical, 1.0, -1.0)[:, None]
    word = (signs * study.answers.word).mean(axis=0)
    assert np.abs((signs * space).mean(axis=0) @ word) > 0.05 * (word @ word)
    assert left @ word == pytest.approx(np.zeros(len(left)), abs=1e-9)


def test_an_axis_is_taken_out_where_there_is_one():
    """An empty category or equal means have none; a pair that was not asked stays one that was not."""
    vectors = np.array([[3.0, 4.0], [1.0, 1.0], [np.nan, np.nan]])
    axis_of = np.array([[1.0, 0.0], [-1.0, 0.0], [5.0, 5.0]])
    canonical = [True, False, False]
    one = without_axis(vectors, np.where([[True], [True], [False]], axis_of, np.nan), canonical)
    np.testing.assert_allclose(one, [[0, 4], [0, 1], [np.nan, np.nan]])
    np.testing.assert_array_equal(without_axis(vectors, axis_of, [True] * 3), vectors)
    np.testing.assert_array_equal(without_axis(vectors, np.ones((3, 2)), canonical), vectors)


def hits(name, world, measure, n):
    """How many of the first n studies are called an axis of the scene."""
    experiment = Experiment(f"scene: {name}, {world.pairs} pairs", partial(scene_verdict, world), n)
    outcomes = [each for each in run.study(experiment, 0, n) if each.measure == measure]
    assert len(outcomes) == n
    return sum(bool(each.hit) for each in outcomes)


@pytest.mark.parametrize("name", ["names leak", "word and position", "names, word and position"])
def test_worlds_without_an_axis_of_the_scene_seldom_have_one(name):
    """At most 4 of 50 studies, of which 1,000 each are in the simulation table."""
    assert hits(name, WITHOUT_SPACE[name], FALSE_SCENE, 50) <= 4


def test_an_axis_of_the_scene_is_found():
    """Coherence .1, 100 pairs, cosine .5: nearly always."""
    name = "space .1, cosine .5"
    assert hits(name, WITH_SPACE[name], POWER, 10) >= 8


def test_every_world_is_judged():
    """At most 4 of 200 studies without an axis of the scene may find one."""
    assert BARS[FALSE_SCENE] == (0.0, 0.02)
    expected = {f"scene: {name}, {world.pairs} pairs" for name, world in WITHOUT_SPACE.items()}
    assert expected <= {each.world for each in SCENES}
