"""Which worlds are studied, how often, and what is known of them beforehand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from .answer_experiments import ANSWERS
from .axis_trials import label_test, layer_choice, layer_test, sign_accuracy
from .comparison_experiments import COMPARISONS
from .control_experiments import CONTROLS
from .demo_experiments import DEMO
from .experiment import BOTH, COVERED, NOISE, OPEN, TESTED, Experiment
from .leak_experiments import LEAKS
from .null_3_trials import NULLS_3
from .outcomes import COVERAGE, FALSE_AXES, FALSE_POSITIVES
from .perspective_trials import perspectives
from .scene_experiments import SCENES
from .trials import geometry, published
from .worlds import Layers, SwapWorld

__all__ = ["EXPERIMENTS"]

BALANCED, VD_EI = "axis_coherence.balanced", "vd_ei.corrected"
CONTRAST = "vd_ei.excess"


def _geometry() -> list[Experiment]:
    worlds = {
        "theta .1": SwapWorld(),
        "theta .5": SwapWorld(coherence=(0.5, 0.5, 0.5)),
        "theta .3 and .05": SwapWorld(coherence=(0.3, 0.3, 0.05)),
        "four pairs an image": SwapWorld(layout="four"),
        "mixed images": SwapWorld(layout="mixed"),
        "an image asks about each axis": SwapWorld(layout="three"),
        "heavy tails, mixed images": SwapWorld(layout="mixed", heavy=True),
        "lopsided categories": SwapWorld(lopsided=True),
        "order effect .3, 80/20": SwapWorld(order=0.3, share=0.8),
        "order effect, heavy, lopsided, mixed": SwapWorld(
            layout="mixed", heavy=True, lopsided=True, order=0.3
        ),
        "VD .9": SwapWorld(cosine=0.9),
        "VD 1": SwapWorld(cosine=1.0),
        "VD -1": SwapWorld(cosine=-1.0),
        "VD .9, theta .5": SwapWorld(cosine=0.9, coherence=(0.5, 0.5, 0.5)),
        "VD 0, HV 0": SwapWorld(cosine=0.0),
        "VD .1, HV .1, theta .5": SwapWorld(cosine=0.1, control=0.1, coherence=(0.5, 0.5, 0.5)),
        "VD .5, HV .5": SwapWorld(cosine=0.5, control=0.5),
        "VD .5, HV .5, theta .5": SwapWorld(cosine=0.5, control=0.5, coherence=(0.5, 0.5, 0.5)),
    }
    strict = {
        (name, COVERAGE): NOISE
        for name in (
            *(BALANCED, VD_EI, f"{VD_EI} (control)", "axis_coherence", "order_coherence", CONTRAST),
            "within_category_consistency",
        )
    }
    strict |= {(VD_EI, FALSE_POSITIVES): NOISE}
    strict |= {(CONTRAST, measure): OPEN for measure in (COVERAGE, FALSE_POSITIVES)}
    found = []
    for name, world in worlds.items():
        # Where the control is as large as VD-EI, tests of the two are of nothing.
        is_null = world.cosine == world.control
        for pairs in (20, 80, 300):
            each, replicates = (
                replace(world, pairs=pairs),
                TESTED if is_null else COVERED if pairs < 300 else 400,
            )
            study = partial(geometry, each)
            bias = 0.02 if pairs == 80 else None
            text = f"{name}, {pairs} pairs an axis"
            tails = "13 images of lengths without a third moment cover about .90"
            limits = {("delta_norm", COVERAGE): tails, ("delta_ratio", COVERAGE): tails}
            limits = limits if world.heavy and pairs == 20 else {}
            found.append(Experiment(text, study, replicates, strict, limits, bias))
    for name, world in (
        ("theta 0", SwapWorld(coherence=(0.0, 0.0, 0.0))),
        ("theta 0, order effect .3", SwapWorld(coherence=(0.0, 0.0, 0.0), order=0.3)),
    ):
        for pairs in (20, 80):
            study = partial(geometry, replace(world, pairs=pairs))
            found.append(Experiment(f"{name}, {pairs} pairs an axis", study, COVERED, strict))
    for theta in (0.1, 0.5):
        study = partial(geometry, SwapWorld(pairs=12, coherence=(theta,) * 3))
        found.append(Experiment(f"theta {theta}, 12 pairs an axis", study, COVERED, strict))
    large = SwapWorld(dim=2048)
    for pairs in (20, 80):
        study = partial(geometry, replace(large, pairs=pairs))
        found.append(Experiment(f"theta .1, 2,048 dimensions, {pairs} pairs an axis", study, 400, strict))
    informative = "pair-weighted means are not those of single images where sizes go with the axis"
    names = (BALANCED, "order_coherence", "delta_norm", "delta_ratio")
    limits = {(name, COVERAGE): informative for name in names}
    limits |= {("within_category_consistency", COVERAGE): informative}
    study = partial(geometry, SwapWorld(layout="informative"))
    found.append(Experiment("sizes that go with the axis, 80 pairs", study, COVERED, strict, limits))
    names = ("vd_ei.consistent", "vd_ei.counter", "vd_ei.equal", "vd_ei.gap", "axis_coherence.perspective")
    strict = {(name, COVERAGE): NOISE for name in names}
    for cosines in ((0.5, 0.5), (0.9, 0.0), (0.5, -0.3)):
        for pairs in (100, 300):
            study = partial(perspectives, pairs=pairs, theta=0.2, cosines=cosines)
            text = f"VD {cosines[0]} consistent and {cosines[1]} counter, {pairs} pairs an axis"
            found.append(Experiment(text, study, COVERED, strict))
    for pairs in (20, 80, 300):
        study = partial(published, SwapWorld(pairs=pairs))
        found.append(Experiment(f"published definitions, theta .1, {pairs} pairs an axis", study, 600))
        study = partial(published, SwapWorld(pairs=pairs, layout="four"))
        text = f"published definitions, theta .1, four pairs an image, {pairs} pairs an axis"
        found.append(Experiment(text, study, 600))
    return found


def _axes() -> list[Experiment]:
    null = SwapWorld(coherence=(0.1, 0.0, 0.1))
    noise_goes = (
        "one category is noisier and directions turn the order effect into an axis; |alpha|^2 is asked too"
    )
    leans = "something that images have goes with the category; exchange labels within strata of it"
    found = []
    for order, share, layout in (
        *((0.0, 0.65, "one"), (0.1, 0.65, "one"), (0.3, 0.8, "one"), (0.1, 0.5, "one")),
        *((0.1, 0.65, "four"), (0.3, 0.8, "mixed")),
    ):
        for pairs in (40, 120):
            world = replace(null, order=order, share=share, layout=layout, pairs=pairs)
            name = f"no axis, order effect {order}, {share:.0%} canonical, {layout} an image, {pairs} pairs"
            notes = {
                ("axis", FALSE_AXES): BOTH,
                (BALANCED, FALSE_POSITIVES): "images of few sizes are exchanged",
            }
            found.append(Experiment(name, partial(label_test, world), 10_000, notes))
    for share in (0.5, 0.8):
        world = replace(null, order=0.3, share=share, noise_ratio=2.0, pairs=100)
        found.append(
            Experiment(
                f"no axis, order effect 0.3, one category twice as noisy, {share:.0%} canonical, 100 pairs",
                partial(label_test, world),
                2000,
                {("axis", FALSE_AXES): BOTH},
                {(BALANCED, FALSE_POSITIVES): noise_goes},
            )
        )
    leaning = replace(null, leaning=0.2, pairs=80, coherence=(0.1, 0.0, 0.1))
    found.append(
        Experiment(
            "no axis, images differ and lean to a category, 80 pairs",
            partial(label_test, leaning),
            2000,
            limits={(BALANCED, FALSE_POSITIVES): leans, ("axis", FALSE_AXES): leans},
        )
    )
    within = partial(label_test, leaning, strata=True)
    notes = {("axis", FALSE_AXES): BOTH, (BALANCED, FALSE_POSITIVES): "labels move within strata alone"}
    found.append(
        Experiment("no axis, images differ and lean to a category, strata, 80 pairs", within, 4000, notes)
    )
    for order in (0.0, 0.1):
        world = Layers(pairs=40, coherence=0.0, layers=12, shared=0.8, share=0.65, order=order)
        name = f"12 layers without an axis, order effect {order}, 40 pairs"
        found.append(
            Experiment(name, partial(layer_test, world), 2000, {("axis (over layers)", FALSE_AXES): BOTH})
        )
    for theta, pairs in ((0.01, 80), (0.02, 80), (0.05, 20)):
        world = Layers(pairs=pairs, coherence=theta, layers=12, shared=0.8)
        found.append(
            Experiment(f"12 layers, theta {theta}, {pairs} pairs", partial(layer_test, world), COVERED)
        )
    weak = replace(null, coherence=(0.1, 0.1, 0.1), pairs=40)
    found.append(Experiment("theta .1, 40 pairs an axis", partial(label_test, weak), 1000, notes))
    # Halves need 40 images.
    for theta, layout, pairs in (
        *((0.0, "one", 80), (0.02, "one", 80), (0.1, "one", 80), (0.3, "one", 80)),
        *((0.0, "four", 240), (0.1, "four", 240)),
    ):
        world = SwapWorld(pairs=pairs, coherence=(0.1, theta, 0.1), layout=layout)
        text = f"directions of halves, theta {theta}, {layout} an image, {pairs} pairs"
        found.append(Experiment(text, partial(sign_accuracy, world), COVERED))
    for theta in (0.1, 0.5):
        for pairs, layers, shared in ((40, 6, 0.5), (100, 36, 0.9), (100, 36, 0.5)):
            world = Layers(pairs, theta, layers, shared)
            name = f"{layers} layers alike, correlation {shared}, theta {theta}, {pairs} pairs"
            strict = {
                ("axis_coherence.balanced.peak", COVERAGE): "covers the highest layer however many there are"
            }
            found.append(Experiment(name, partial(layer_choice, world), 300, strict))
    return found


EXPERIMENTS = [
    *_geometry(),
    *DEMO,
    *_axes(),
    *COMPARISONS,
    *ANSWERS,
    *SCENES,
    *NULLS_3,
    *CONTROLS,
    *LEAKS,
]
