"""Differences of coherence hold their level whatever the two checkpoints' axes do, and see what is there."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from vlmprobe.analysis.catalog import AXIS_COSINE, COMPARISONS, DELTA_ABOVE_CONTROL
from vlmprobe.analysis.comparison import geometry_differences, read_geometry
from vlmprobe.analysis.geometry import Layout
from vlmprobe.pairs import SPACE

from . import run
from .comparison_trials import trainings
from .demo_world import PAIRS
from .experiment import Experiment
from .experiments import EXPERIMENTS
from .mde_trials import accuracy_at_mde
from .outcomes import COVERAGE, FALSE_POSITIVES, POWER, POWER_AT_MDE, rejects
from .verdicts import BARS, cells_of, exact_interval
from .worlds import Twins


def differing(world, rng):
    """Compare two checkpoints as the command does."""
    samples = world.sample(rng)
    # As the pairs of the first axis; the others have none.
    layout = Layout(samples[0].codes, samples[0].images, len(SPACE.categories))
    states = [(np.zeros_like(each.deltas), each.deltas) for each in samples]
    counts = {str(axis): world.pairs for axis in SPACE} | dict.fromkeys(PAIRS, world.pairs)
    differences = geometry_differences(*(read_geometry(each, layout, SPACE) for each in states), counts)
    row = next(each for each in differences if each.target == str(SPACE.axes[0]))
    kind = FALSE_POSITIVES if world.coherence[0] == world.coherence[1] else POWER
    return [rejects(row.entry.name, row.p_value, kind)]


def rejections(world, n):
    """Return how many of n studies reject, seeded by the world's number."""
    found = [differing(world, np.random.default_rng([2, number])) for number in range(n)]
    return sum(bool(outcome.hit) for outcomes in found for outcome in outcomes)


@pytest.mark.parametrize(("cosine", "n"), [(0.5, 300), (0.0, 150), (-1.0, 150)])
def test_equal_coherence_is_not_told_apart_by_the_direction_of_the_axes(cosine, n):
    """Exchanging checkpoints within images rejects .13, .35 and .82 of these; the paired jackknife t at most .065."""
    hits = rejections(Twins(40, (0.3, 0.3), cosine, dim=48), n)
    assert exact_interval(hits, n)[0] <= 0.065


def test_a_difference_is_seen_because_it_is_paired():
    """Power at +.03 with a correlation of .8: about .92; a test of unpaired values sees .23."""
    hits = rejections(Twins(80, (0.1, 0.13), 1.0, 0.8, dim=48), 60)
    assert hits > 40


def test_means_over_trainings_hold_their_level():
    """Four trainings that differ: t with 3 degrees of freedom; a normal quantile would reject .15."""
    experiment = Experiment("short", partial(trainings, count=4, between=0.4, truth=0.0), 2000)
    for cell in cells_of(experiment, run.study(experiment, 0, 2000)):
        assert cell.verdict in {"ok", "borderline"}, cell


@pytest.mark.parametrize(("images", "an_image"), [(80, 1), (20, 4)])
def test_a_true_difference_of_the_size_of_the_mde_is_resolved_in_four_of_five_studies(images, an_image):
    """After Holm over 60 tests; an MDE of the unadjusted test is resolved in a third of these, or fewer."""
    how = {"images": images, "an_image": an_image, "both": 0.1, "n_tests": 60}
    experiment = Experiment("short", partial(accuracy_at_mde, **how), 200)
    (cell,) = cells_of(experiment, run.study(experiment, 0, 200))
    assert (cell.measure, cell.printed) == (POWER_AT_MDE, 1.0)
    assert BARS[POWER_AT_MDE] == (0.7, 0.95)
    assert cell.verdict in {"ok", "borderline"}


def test_the_mde_is_studied_of_accuracy_coherence_and_the_size_of_vd_ei():
    """Each has a world whose true difference is its MDE."""
    worlds = [each.world for each in EXPERIMENTS if "by the MDE" in each.world]
    for of in ("accuracy differs", "coherence differs", "size of VD-EI differs"):
        assert any(world.startswith(of) for world in worlds), of


@pytest.mark.full
def test_every_number_of_a_comparison_has_its_rows():
    """What ``compare`` prints is studied, coverage and p-value, under the name that it is printed with."""
    worlds = (
        *(
            "two checkpoints, theta 0.1, axes at cosine 1.0, 20",
            "two checkpoints, theta 0.1, VD 0.5 and 0.5, 40",
            "two checkpoints, theta 0.3 and 0.3, controls",
        ),
        *(
            "five checkpoints, theta 0.1 to",
            "five checkpoints, theta 0.1, VD",
            "five checkpoints, accuracy 0.5",
        ),
        "5% of pairs changed",
    )
    studied = set()
    for world in worlds:
        experiment = next(each for each in EXPERIMENTS if each.world.startswith(world))
        studied |= {(found.estimator, found.measure) for found in run.study(experiment, 0, 1)}
    assert {name for name, measure in studied if measure == COVERAGE} == set(COMPARISONS)
    tested = {name for name, measure in studied if measure == FALSE_POSITIVES}
    assert tested == set(COMPARISONS) - {AXIS_COSINE.name, DELTA_ABOVE_CONTROL.name}
