"""Worlds of answers: shares, differences of shares, and published shares beside them."""

from __future__ import annotations

from functools import partial

from .answer_trials import accuracy, paired_accuracy, perspective_gap, reproduced
from .experiment import DISCRETE, Experiment
from .outcomes import COVERAGE, FALSE_POSITIVES

__all__ = ["ANSWERS"]


def _answers() -> list[Experiment]:
    found = []
    for p in (0.5, 0.8, 0.95):
        for correlation in (0.0, 0.2, 0.5):
            for images, most in ((50, 3), (100, 4), (300, 3)):
                study = partial(accuracy, p=p, correlation=correlation, images=images, most=most)
                pairs = "4" if most == 4 else f"1 to {most}"
                text = (
                    f"accuracy {p}, correlation {correlation} in an image, {images} images of {pairs} pairs"
                )
                found.append(Experiment(text, study, 10_000))
    wide = {("accuracy", COVERAGE): "a share near 1 of few images: Wilson's bounds are wide"}
    for p in (0.5, 0.8, 0.95, 0.98, 0.99):
        study = partial(accuracy, p=p, correlation=0.0, images=40, most=1)
        found.append(Experiment(f"accuracy {p}, 40 images of one pair", study, 10_000, wide))
    notes = {
        ("delta.accuracy", FALSE_POSITIVES): DISCRETE,
        ("delta.accuracy", COVERAGE): "counts two more images",
    }
    for images, an_image, together in (
        (60, 1, 0.0),
        (200, 1, 0.0),
        (20, 4, 0.0),
        (60, 2, 0.6),
        (200, 4, 0.6),
    ):
        for changed in (0.05, 0.2):
            for gain in (0.0, 0.04):
                how = {
                    "images": images,
                    "an_image": an_image,
                    "together": together,
                    "gain": gain,
                    "changed": changed,
                }
                text = f"{changed:.0%} of pairs changed, {together:.0%} as their image, gain {gain:.0%}, "
                text += f"{images} images of {an_image} pairs"
                found.append(Experiment(text, partial(paired_accuracy, **how), 10_000, notes))
    for images, an_image, gain in ((80, 1, 0.9), (60, 2, 0.9), (80, 1, 0.5)):
        how = {"images": images, "an_image": an_image, "together": 0.0, "gain": gain, "changed": gain + 0.05}
        text = f"{gain + 0.05:.0%} of pairs changed, gain {gain:.0%}, {images} images of {an_image} pairs"
        found.append(Experiment(text, partial(paired_accuracy, **how), 10_000, notes))
    for gain in (0.025, 0.03):
        study = partial(paired_accuracy, images=80, an_image=1, gain=gain, changed=gain)
        text = f"gain {gain:.1%} without losses, 80 images of 1 pairs"
        found.append(Experiment(text, study, 10_000, limits={("delta.accuracy", COVERAGE): _UNCHANGED}))
    for images, most in ((5, 1), (10, 1), (12, 3), (20, 4)):
        for p in (0.5, 0.9):
            study = partial(accuracy, p=p, correlation=0.0 if most == 1 else 0.2, images=images, most=most)
            pairs = "4" if most == 4 else f"1 to {most}"
            text = f"accuracy {p}, {images} images of {pairs} pairs"
            found.append(Experiment(text, study, 10_000, wide))
    return found


def _perspectives() -> list[Experiment]:
    found = []
    for chances in ((0.9, 0.5), (1.0, 0.6), (0.7, 0.7), (0.98, 0.9)):
        for images, an_image, share, correlation in (
            (80, 1, 0.5, 0.0),
            (1100, 1, 0.88, 0.0),
            (100, 4, 0.5, 0.3),
            (60, 2, 0.8, 0.3),
        ):
            how = {"images": images, "an_image": an_image, "share": share, "correlation": correlation}
            text = f"accuracy {chances[0]} consistent and {chances[1]} counter, {share:.0%} consistent, "
            text += f"correlation {correlation} in an image, {images} images of {an_image} pairs"
            found.append(Experiment(text, partial(perspective_gap, chances=chances, **how), 2000, _WIDE))
    return found


#: Of a gain that many studies do not see.
_UNCHANGED = "where no pair changed, the interval ends at .024: a larger gain is missed"
#: Of shares near 0 or 1, and of few pairs.
_WIDE = {
    ("accuracy.perspective (gap)", COVERAGE): "Wilson's bounds are wide where all or nearly all are right"
}


def _reproductions() -> list[Experiment]:
    few = "few questions: neither number is known within the margin"
    notes = {("reproduce (difference)", measure): few for measure in (COVERAGE, FALSE_POSITIVES)}
    found = []
    for theirs, n_theirs in ((0.63, 976), (0.35, 129), (0.93, 363), (0.75, 65)):
        for images, an_image, correlation in ((200, 1, 0.0), (1000, 1, 0.0), (300, 3, 0.3)):
            for gap in (0.03, 0.0):
                how = {"images": images, "an_image": an_image, "correlation": correlation}
                text = (
                    f"published accuracy {theirs} of {n_theirs} questions, ours lower by {gap}, margin 0.03, "
                )
                text += f"correlation {correlation} in an image, {images} images of {an_image} pairs"
                study = partial(reproduced, theirs=theirs, n_theirs=n_theirs, gap=gap, margin=0.03, **how)
                found.append(Experiment(text, study, 2000, notes))
    # Of a wide margin the test is sharp: it must then be right to call 5 % of differences of the margin equivalent.
    for gap in (0.1, 0.0):
        text = f"published accuracy 0.63 of 976 questions, ours lower by {gap}, margin 0.1, 1000 images"
        study = partial(reproduced, theirs=0.63, n_theirs=976, gap=gap, margin=0.1, images=1000, an_image=1)
        found.append(Experiment(text, study, 2000, notes))
    return found


ANSWERS = [*_answers(), *_perspectives(), *_reproductions()]
