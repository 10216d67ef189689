"""Worlds with and without an axis of the scene."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from .experiment import Experiment
from .outcomes import FALSE_SCENE
from .scene_trials import scene_verdict
from .scene_world import SceneWorld

__all__ = ["SCENES", "WITHOUT_SPACE", "WITH_SPACE"]

WITHOUT_SPACE = {
    "nothing": SceneWorld(),
    "names leak": SceneWorld(names=0.05),
    "names leak, more so with the picture": SceneWorld(names=0.05, amplified=1.5),
    "the answer's word": SceneWorld(word=0.3),
    "word and names": SceneWorld(word=0.3, names=0.05, amplified=1.5),
    "word and position": SceneWorld(word=0.3, position=0.1, asked=1.5),
    "names, word and position": SceneWorld(word=0.3, names=0.05, amplified=1.5, position=0.1, asked=1.5),
}
# No second template reverses a word quite.
WITHOUT_SPACE |= {
    "a tenth of the word .3 stays": SceneWorld(word=0.3, kept=0.1),
    "a tenth of the word .8 stays": SceneWorld(word=0.8, kept=0.1),
    "a third of the word .8 stays": SceneWorld(word=0.8, kept=0.33),
}
_MANY = SceneWorld(pairs=200, an_image=4)
WITHOUT_SPACE |= {
    "nothing, four pairs an image": _MANY,
    "names, word and position, four pairs an image": replace(
        WITHOUT_SPACE["names, word and position"], pairs=200, an_image=4
    ),
}
WITH_SPACE = {
    "space .1, cosine .5": SceneWorld(space=0.1),
    "space .1, cosine .8": SceneWorld(space=0.1, cosine=0.8),
    "space .1, cosine .5, word .3": SceneWorld(space=0.1, word=0.3),
    "space .1, cosine .5, names, word and position": SceneWorld(
        space=0.1, word=0.3, names=0.05, amplified=1.5, position=0.1, asked=1.5
    ),
    "space .1, cosine .8, word .8": SceneWorld(space=0.1, cosine=0.8, word=0.8),
    "space .3, cosine .8, word .8": SceneWorld(space=0.3, cosine=0.8, word=0.8),
    "space .05, cosine .5": SceneWorld(space=0.05),
    "space .1, cosine .5, a smaller study": SceneWorld(space=0.1, pairs=40),
    "space .1, cosine .5, four pairs an image": SceneWorld(space=0.1, pairs=200, an_image=4),
}
_BY_CHANCE = "in few dimensions two directions are alike by chance, and .2 is not far enough from 0"
_ASIDE = "a trace of the answer that both yes/no templates share, off the word's axis, is in both halves"
_CONFOUNDED = WITHOUT_SPACE["names, word and position"]
_LIMITS = {
    "the word .3, and a trace of .05 aside": (SceneWorld(word=0.3, aside=0.05), _ASIDE),
    "the word .8, and a trace of .1 aside": (SceneWorld(word=0.8, aside=0.1), _ASIDE),
    "names, word and position in few dimensions": (replace(_CONFOUNDED, narrow=True), _BY_CHANCE),
    "names, word and position in very few dimensions": (
        replace(_CONFOUNDED, narrow=True, steep=1.5),
        _BY_CHANCE,
    ),
}


def _scenes() -> list[Experiment]:
    found = [
        Experiment(f"scene: {name}, {world.pairs} pairs", partial(scene_verdict, world), 1000)
        for name, world in (WITHOUT_SPACE | WITH_SPACE).items()
    ]
    return found + [
        Experiment(
            f"scene: {name}, {world.pairs} pairs",
            partial(scene_verdict, world),
            1000,
            limits={("axis of the scene", FALSE_SCENE): why},
        )
        for name, (world, why) in _LIMITS.items()
    ]


SCENES = _scenes()
