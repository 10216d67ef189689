"""Counterbalanced answers, answers that are wrong, and order effects."""

from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis.controls import (
    Counterbalanced,
    answer_following,
    order_warning,
    space_coherence,
    space_cosine,
    space_share,
)
from vlmprobe.analysis.controls.following import TOO_FEW_WRONG
from vlmprobe.analysis.geometry import Layout, balanced_coherence, order_coherence, sums_of_vectors
from vlmprobe.analysis.geometry.estimates import NOT_RESOLVED

from ...statistics.scene_world import length
from ...statistics.worlds import SwapWorld, directions, noise_spread


def templates(rng, *, space=0.0, word=0.0, pairs=60, dim=48, noise=1.0):
    """Two templates over one axis's pairs, an image each; the axis is orthogonal to the word."""
    axis, answer = directions(dim, 2, 3)
    canonical = rng.permutation(np.arange(pairs) < pairs // 2)
    signs = np.where(canonical, 1.0, -1.0)[:, None]
    first, second = noise * rng.normal(size=(2, pairs, dim)) * noise_spread(dim)
    seen, said = signs * axis * length(space), signs * answer * length(word)
    layout = Layout((~canonical).astype(int), [f"image {i}" for i in range(pairs)], 2)
    return Counterbalanced(seen + said + first, seen - said + second), layout


def test_the_halves_separate_scene_and_word():
    """Nearly without noise: the share of the squared length; the halves sum up to the templates."""
    answers, layout = templates(np.random.default_rng(0), space=0.2, word=0.5, noise=1e-6)
    expected = length(0.2) ** 2 / (length(0.2) ** 2 + length(0.5) ** 2)
    assert space_share(answers, layout, 0).value == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(answers.space + answers.word, answers.first)
    np.testing.assert_allclose(answers.space - answers.word, answers.opposite)


@pytest.mark.parametrize(("space", "word"), [(0.0, 0.3), (0.3, 0.3), (0.05, 0.3)])
def test_the_interval_of_the_space_share_holds_the_truth(space, word):
    """Refutes a space half where only the word is answered: the interval must hold 0."""
    true = length(space) ** 2 / (length(space) ** 2 + length(word) ** 2)
    found = [
        space_share(*templates(np.random.default_rng([4, i]), space=space, word=word), 0).estimate()
        for i in range(100)
    ]
    assert sum(each.ci_low <= true <= each.ci_high for each in found) >= 88
    assert abs(np.median([each.value for each in found]) - true) < 0.02


def test_without_any_axis_there_is_no_share():
    """A share of nothing is NULL, not .5, in all but the 2.5 % in which chance resolves something."""
    found = [space_share(*templates(np.random.default_rng([5, i])), 0).estimate() for i in range(40)]
    assert sum(each.value is None for each in found) >= 37
    assert {each.reason for each in found if each.value is None} == {NOT_RESOLVED}


def test_the_space_half_has_all_of_the_geometry():
    """Its coherence and cosine are those of sigma, whatever the word does to the answers."""
    rng = np.random.default_rng(6)
    sample = SwapWorld(pairs=80, coherence=(0.3, 0.3, 0.3), cosine=0.7).sample(rng)
    signs = np.where(sample.codes % 2 == 0, 1.0, -1.0)[:, None]
    word = 3.0 * signs * directions(96, 1, 44)[0]
    answers, layout = (
        Counterbalanced(sample.deltas + word, sample.deltas - word),
        Layout(sample.codes, sample.images, 6),
    )
    plain = balanced_coherence(sums_of_vectors(sample.deltas, layout).units.products(), 1).value
    assert space_coherence(answers, layout, 1).value == pytest.approx(plain)
    assert space_cosine(answers, layout, 1, 2).value == pytest.approx(0.7, abs=0.2)
    said = sums_of_vectors(answers.first, layout).units.products()
    assert balanced_coherence(said, 1).value > plain + 0.3


def outcomes(rng, *, follows, wrong=20, right=60, dim=48, order=0.0, share=0.5):
    """Right pairs, and wrong ones whose deltas follow the truth (1), the answer (-1) or nothing (0)."""
    axis, common = directions(dim, 2, 5)
    n = wrong + right
    canonical = rng.permutation(np.arange(n) < share * n)
    is_wrong = np.arange(n) < wrong
    along = np.where(canonical, 1.0, -1.0) * np.where(is_wrong, follows, 1.0) * length(0.4)
    deltas = along[:, None] * axis + order * common + rng.normal(size=(n, dim)) * noise_spread(dim)
    images = [f"image {i}" for i in range(n)]
    flags = {"both_right": ~is_wrong, "both_wrong": is_wrong}
    return {"vectors": deltas, "canonical": canonical, "images": images} | flags


@pytest.mark.parametrize(("follows", "sign"), [(1.0, 1), (-1.0, -1), (0.0, 0)])
def test_wrong_pairs_follow_the_truth_or_the_answer(follows, sign):
    """Coherence of the wrong pairs is the same in the first two: it does not know the sign."""
    study = outcomes(np.random.default_rng(1), follows=follows)
    found = answer_following(**study).estimate()
    assert (found.ci_low > 0, found.ci_high < 0) == (sign > 0, sign < 0)
    wrong = study["both_wrong"]
    layout = Layout((~study["canonical"][wrong]).astype(int), np.array(study["images"])[wrong].tolist(), 2)
    coherence = balanced_coherence(sums_of_vectors(study["vectors"][wrong], layout).units.products(), 0)
    assert (coherence.value > 0.2) == (sign != 0)


def test_answer_following_is_the_mean_cosine_with_right_pairs_of_other_images():
    """Oracle: pair by pair; two pairs an image, one wrong and one right."""
    study = outcomes(np.random.default_rng(2), follows=-1.0, wrong=24, right=24)
    study["images"] = [f"image {i % 24}" for i in range(48)]
    signs = np.where(study["canonical"], 1.0, -1.0)
    corrected, names = study["vectors"] * signs[:, None], np.array(study["images"])

    def oracle(without=None):
        cosines = []
        for i in np.flatnonzero(study["both_wrong"] & (names != without)):
            others = study["both_right"] & (names != names[i]) & (names != without)
            mean = sum(corrected[others & (signs == sign)].mean(axis=0) for sign in (1, -1))
            cosines.append(corrected[i] @ mean / np.linalg.norm(corrected[i]) / np.linalg.norm(mean))
        return np.mean(cosines)

    found = answer_following(**study)
    assert found.value == pytest.approx(oracle())
    expected = [oracle(name) for name in np.unique(names)[:3]]
    np.testing.assert_allclose(found.leave_outs[:3], expected)


def test_a_pair_is_not_held_against_its_own_image():
    """Refutes: noise that an image's pairs share makes wrong pairs follow a truth that is not there."""
    values, naive = [], []
    for number in range(30):
        rng = np.random.default_rng([8, number])
        noise = np.repeat(rng.normal(size=(12, 48)), 2, axis=0)
        canonical = np.repeat(np.arange(12) % 2 == 0, 2)
        wrong = np.arange(24) % 2 == 0
        study = {"canonical": canonical, "both_right": ~wrong, "both_wrong": wrong}
        images = np.repeat(np.arange(12), 2).astype(str).tolist()
        values.append(answer_following(noise, images=images, **study).value)
        apart = np.arange(24).astype(str).tolist()
        naive.append(answer_following(noise, images=apart, **study).value)
    assert np.mean(naive) > 0.15
    assert abs(np.mean(values)) < 0.06


def test_its_interval_covers():
    """Of 60 studies in which wrong pairs follow nothing, nearly all hold 0."""
    found = [
        answer_following(**outcomes(np.random.default_rng([9, i]), follows=0.0)).estimate() for i in range(60)
    ]
    assert sum(each.ci_low <= 0 <= each.ci_high for each in found) >= 53


@pytest.mark.parametrize(("wrong", "there"), [(9, False), (10, True)])
def test_few_wrong_pairs_have_no_value(wrong, there):
    """Ten are needed; nine are NULL, with the reason."""
    found = answer_following(**outcomes(np.random.default_rng(3), follows=1.0, wrong=wrong)).estimate()
    assert (found.value is not None, found.reason) == (there, "" if there else TOO_FEW_WRONG)


def test_a_category_without_right_pairs_has_no_direction():
    """NULL, not a direction of the other category alone."""
    study = outcomes(np.random.default_rng(3), follows=1.0)
    study["both_right"] = study["both_right"] & study["canonical"]
    assert answer_following(**study).estimate().value is None


def test_an_order_effect_is_told_where_the_published_coherence_holds_it():
    """Refutes: 80/20 and an order effect of .3 show a coherence of .1 without an axis; 50/50 does not."""
    world = SwapWorld(pairs=120, coherence=(0.0, 0.0, 0.0), order=0.3, share=0.8)
    sample = world.sample(np.random.default_rng(0))
    order = order_coherence(
        sums_of_vectors(sample.deltas, Layout(sample.codes, sample.images, 6)).units.products(), 1
    ).value
    canonical = sample.codes[sample.codes // 2 == 1] == 2
    warning = order_warning(order, canonical)
    assert "80%" in warning
    assert "axis_coherence.balanced" in warning
    assert order_warning(order, np.arange(120) % 2 == 0) == ""
    assert order_warning(0.05, canonical) == order_warning(None, canonical) == order_warning(order, []) == ""
