"""Worlds of two checkpoints, of five, and of several trainings."""

from __future__ import annotations

from functools import partial

from vlmprobe.analysis.catalog import (
    DELTA_ABOVE_CONTROL,
    TREND_ACCURACY,
    TREND_COHERENCE,
    TREND_VD_EI_SIZE,
)

from .comparison_trials import (
    above_controls,
    accuracies_over_scales,
    axes_over_scales,
    sizes_over_scales,
    trainings,
)
from .experiment import COVERED, NOISE, OPEN, TESTED, Experiment
from .holm_trials import accuracy_after_holm, angles_after_holm, axis_after_holm, coherence_after_holm
from .mde_trials import accuracy_at_mde, coherence_at_mde, size_at_mde
from .outcomes import COVERAGE, FALSE_POSITIVES
from .trials import paired_angles, quads, twins
from .worlds import Twins

__all__ = ["COMPARISONS"]


def _comparisons() -> list[Experiment]:
    found = []
    name = "delta.axis_coherence.balanced"
    strict = {(name, COVERAGE): NOISE, (name, FALSE_POSITIVES): NOISE, ("axis_cosine", COVERAGE): NOISE}
    for theta in (0.1, 0.5):
        for cosine in (1.0, 0.5, 0.0, -1.0):
            for pairs in (20, 80):
                world = Twins(pairs, (theta, theta), cosine)
                text = f"two checkpoints, theta {theta}, axes at cosine {cosine}, {pairs} pairs"
                found.append(Experiment(text, partial(twins, world), TESTED, strict))
    for first, second, shared in (
        *((0.1, 0.12, 0.8), (0.1, 0.12, 0.0), (0.5, 0.55, 0.8)),
        *((0.0, 0.0, 0.8), (0.0, 0.0, 0.0), (0.0, 0.1, 0.8), (0.0, 0.5, 0.8)),
    ):
        world = Twins(80, (first, second), 0.9, shared)
        text = (
            f"two checkpoints, theta {first} and {second}, axes at cosine 0.9, correlation {shared}, 80 pairs"
        )
        found.append(Experiment(text, partial(twins, world), TESTED if first == second else COVERED, strict))
    names = ("delta.vd_ei.corrected", "delta.vd_ei.corrected.size")
    strict = {(name, measure): NOISE for name in names for measure in (COVERAGE, FALSE_POSITIVES)}
    strict |= {(names[1], measure): OPEN for measure in (COVERAGE, FALSE_POSITIVES)}
    for theta, cosines in (
        *((0.1, (0.5, 0.5)), (0.5, (0.5, 0.5)), (0.1, (0.0, 0.5)), (0.5, (0.9, 0.5))),
        *((0.1, (0.5, -0.5)), (0.5, (0.5, -0.5)), (0.5, (0.0, 0.5))),
        *((0.1, (0.0, 0.9)), (0.5, (0.0, 0.9)), (0.5, (0.9, 0.9))),
        *((0.5, (0.0, 0.0)), (0.5, (0.1, 0.1)), (0.5, (0.1, -0.1)), (0.5, (0.05, 0.3))),
    ):
        for pairs in (40, 80):
            study = partial(paired_angles, pairs=pairs, theta=theta, cosines=cosines)
            text = f"two checkpoints, theta {theta}, VD {cosines[0]} and {cosines[1]}, {pairs} pairs an axis"
            is_null = abs(cosines[0]) == abs(cosines[1])
            found.append(Experiment(text, study, TESTED if is_null else COVERED, strict))
    wild = {("cross_axis_alignment.canonical (of_means)", FALSE_POSITIVES): NOISE}
    for n in (20, 80):
        for height, depth in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.3, 0.3), (0.6, 0.6)):
            study = partial(quads, n=n, height=height, depth=depth)
            text = f"{n} quads, coherence {height} and {depth}, orthogonal axes"
            found.append(Experiment(text, study, 2000, wild))
    for n in (20, 80):
        for theta, cosine in ((0.1, 0.5), (0.6, 0.5), (0.6, 0.9)):
            study = partial(quads, n=n, height=theta, depth=theta, cosine=cosine)
            text = f"{n} quads, coherence {theta} and {theta}, axes at cosine {cosine}"
            found.append(Experiment(text, study, COVERED))
    study = partial(quads, n=80, height=0.3, depth=0.3, an_image=4)
    found.append(
        Experiment("80 quads, coherence 0.3 and 0.3, orthogonal axes, four an image", study, 2000, wild)
    )
    return found


def _above_controls() -> list[Experiment]:
    """Two checkpoints and their controls: the difference of differences is 0, or it is not."""
    found, strict = [], {(DELTA_ABOVE_CONTROL.name, COVERAGE): NOISE}
    for thetas, controls in (
        *(((0.3, 0.3), (0.05, 0.05)), ((0.3, 0.4), (0.3, 0.4)), ((0.1, 0.1), (0.0, 0.0))),
        *(((0.1, 0.3), (0.0, 0.0)), ((0.3, 0.5), (0.05, 0.05)), ((0.3, 0.3), (0.0, 0.2))),
    ):
        for pairs, an_image in ((40, 1), (80, 1), (160, 4)):
            how = {"pairs": pairs, "an_image": an_image, "thetas": thetas, "controls": controls}
            text = f"two checkpoints, theta {thetas[0]} and {thetas[1]}, controls {controls[0]} and {controls[1]}, "
            text += f"{pairs} pairs, {an_image} an image"
            found.append(Experiment(text, partial(above_controls, **how), COVERED, strict))
    return found


def _over_scales() -> list[Experiment]:
    """Slopes over five checkpoints, and means over trainings."""
    found = []
    strict = {
        (name, measure): NOISE
        for name in (TREND_COHERENCE.name, TREND_VD_EI_SIZE.name)
        for measure in (COVERAGE, FALSE_POSITIVES)
    }
    strict |= {(TREND_VD_EI_SIZE.name, measure): OPEN for measure in (COVERAGE, FALSE_POSITIVES)}
    for thetas in ((0.1,) * 5, (0.5,) * 5, (0.0, 0.0, 0.3, 0.4, 0.5)):
        for turning in (0.0, 0.5):
            for pairs in (20, 80):
                study = partial(axes_over_scales, pairs=pairs, thetas=thetas, turning=turning)
                text = f"five checkpoints, theta {thetas[0]} to {thetas[-1]}, "
                text += f"the axis turns by {turning} each, {pairs} pairs"
                found.append(Experiment(text, study, 1000, strict))
    for theta, cosines in (
        *((0.1, (0.5,) * 5), (0.5, (0.5,) * 5), (0.5, (0.9, 0.8, 0.7, 0.5, 0.3))),
        *((0.5, (0.1, -0.1, 0.1, -0.1, 0.1)), (0.5, (0.0,) * 5)),
    ):
        for pairs in (40, 80):
            study = partial(sizes_over_scales, pairs=pairs, theta=theta, cosines=cosines)
            text = f"five checkpoints, theta {theta}, VD {cosines[0]} to {cosines[-1]}, {pairs} pairs an axis"
            found.append(Experiment(text, study, 1000, strict))
    few = "counts two more pairs"
    notes = {(TREND_ACCURACY.name, measure): few for measure in (COVERAGE, FALSE_POSITIVES)}
    for images, an_image in ((60, 1), (200, 1), (60, 4)):
        for own in (0.05, 0.4):
            for shares in ((0.5,) * 5, (0.9,) * 5, (0.05, 0.3, 0.8, 0.9, 0.95)):
                how = {"images": images, "an_image": an_image, "shares": shares, "own": own}
                text = f"five checkpoints, accuracy {shares[0]} to {shares[-1]}, {own:.0%} of their own, "
                text += f"{images} images of {an_image} pairs"
                found.append(Experiment(text, partial(accuracies_over_scales, **how), 2000, notes))
    for count in (2, 4, 8):
        for truth in (0.0, 0.3):
            study = partial(trainings, count=count, between=0.4, truth=truth)
            found.append(Experiment(f"{count} trainings of SD 0.4, mean {truth}", study, 10_000))
    return found


def _at_their_mde() -> list[Experiment]:
    """Two checkpoints whose true difference is the MDE that is printed of them."""
    found = []
    for images, an_image, both, together, n_tests in (
        (80, 1, 0.0, 0.0, 60),
        (80, 1, 0.1, 0.0, 60),
        (200, 1, 0.1, 0.0, 12),
        (60, 4, 0.1, 0.6, 12),
        (20, 4, 0.1, 0.6, 60),
    ):
        how = {"images": images, "an_image": an_image, "both": both, "together": together}
        text = f"accuracy differs by the MDE of {n_tests} tests, {both:.0%} of pairs changed besides, "
        text += f"{together:.0%} as their image, {images} images of {an_image} pairs"
        found.append(Experiment(text, partial(accuracy_at_mde, n_tests=n_tests, **how), 1000))
    for theta, pairs, n_tests in ((0.1, 80, 60), (0.5, 80, 60), (0.5, 20, 12)):
        study = partial(coherence_at_mde, pairs=pairs, theta=theta, n_tests=n_tests)
        text = f"coherence differs from {theta} by the MDE of {n_tests} tests, {pairs} pairs"
        found.append(Experiment(text, study, 1000))
    text = "size of VD-EI differs from 0.3 by the MDE of 60 tests, 80 pairs an axis"
    found.append(Experiment(text, partial(size_at_mde, pairs=80, cosine=0.3, n_tests=60), 500))
    return found


def _after_holm() -> list[Experiment]:
    """Ask of tests that are right at 5 % whether they keep the level of the smallest of 63 p-values, too."""
    found = []
    for theta, cosine, pairs in ((0.1, 0.5, 80), (0.5, 0.5, 80), (0.5, 1.0, 40)):
        world = Twins(pairs, (theta, theta), cosine)
        text = f"no difference, at .05/63: theta {theta}, axes at cosine {cosine}, {pairs} pairs"
        found.append(Experiment(text, partial(coherence_after_holm, world), 20_000))
    for theta, cosine in ((0.5, 0.5), (0.5, 0.0)):
        study = partial(angles_after_holm, pairs=80, theta=theta, cosine=cosine)
        text = f"no difference, at .05/63: theta {theta}, VD {cosine}, 80 pairs an axis"
        found.append(Experiment(text, study, 10_000))
    for images, an_image, changed in ((80, 1, 0.2), (60, 2, 0.2), (200, 4, 0.05)):
        study = partial(accuracy_after_holm, images=images, an_image=an_image, changed=changed)
        text = (
            f"no difference, at .05/63: {changed:.0%} of pairs changed, {images} images of {an_image} pairs"
        )
        found.append(Experiment(text, study, 20_000))
    for order in (0.0, 0.3):
        study = partial(axis_after_holm, pairs=60, order=order)
        found.append(Experiment(f"no axis, at .05/63: order effect {order}, 60 pairs", study, 10_000))
    return found


COMPARISONS = [*_comparisons(), *_above_controls(), *_over_scales(), *_at_their_mde(), *_after_holm()]
