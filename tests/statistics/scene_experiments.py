"""Worlds with and without an axis of the scene."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from vlmprobe.analysis.catalog import robustness as names

from .experiment import COVERED, NOISE, TESTED, Experiment
from .outcomes import COVERAGE, FALSE_SCENE
from .scene_reading_trials import disjoint, read_null_2, read_scene
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
        Experiment(f"scene: {name}, {world.pairs} pairs", partial(scene_verdict, world), studies)
        for worlds, studies in ((WITHOUT_SPACE, TESTED), (WITH_SPACE, COVERED))
        for name, world in worlds.items()
    ]
    return found + [
        Experiment(
            f"scene: {name}, {world.pairs} pairs",
            partial(scene_verdict, world),
            TESTED,
            limits={("axis of the scene", FALSE_SCENE): why},
        )
        for name, (world, why) in _LIMITS.items()
    ]


#: A word weaker than this is resolved in some studies of 40 to 200 pairs and not in others.
_SEEN = 0.05
#: Pairs, and how many an image.
_SIZES = ((40, 1), (100, 1), (200, 4))
_SCENE = SceneWorld(fixed=11)
_ALL = replace(_SCENE, word=0.3, names=0.05, amplified=1.5, position=0.1, asked=1.5)
_READ = {
    "nothing": _SCENE,
    "position": replace(_SCENE, position=0.1, asked=1.5),
    "space .1, cosine .5": replace(_SCENE, space=0.1),
    "space .3, cosine .8": replace(_SCENE, space=0.3, cosine=0.8),
    "space .3, cosine 1": replace(_SCENE, space=0.3, cosine=1.0),
    "space .1, cosine .5, names, word and position": replace(_ALL, space=0.1),
    # No second template reverses a word quite. The last one is so weak that some studies see it and some do not.
    "word .8, a tenth not reversed": replace(_SCENE, word=0.8, kept=0.1),
    "space .1, word .8, a third not reversed": replace(_SCENE, space=0.1, word=0.8, kept=0.33),
    "space .3, cosine 1, word .006, a third not reversed": replace(
        _SCENE, space=0.3, cosine=1.0, word=0.006, kept=0.33
    ),
}
_HALF_SEEN = (
    "a word at the border of being resolved is left in, or taken out along an axis of which half is noise"
)
_CARRIED = {
    "nothing of an object": _SCENE,
    "objects .3": replace(_SCENE, carried=0.3),
    "space .1, cosine .5": replace(_SCENE, space=0.1),
    "space .1, cosine .5, objects .3": replace(_SCENE, space=0.1, carried=0.3),
    "space .3, cosine .8, objects .3": replace(_SCENE, space=0.3, cosine=0.8, carried=0.3),
}
#: Pairs, how many an image, and names.
_NAMED = ((40, 1, 24), (100, 1, 24), (100, 1, 60), (200, 4, 60))
_SHARED_OBJECTS = "products of pairs that share an object hold what is of the object"
_NULL_2 = {
    "nothing": _SCENE,
    "position": replace(_SCENE, position=0.1),
    "a relation that is turned after all, .1": replace(_SCENE, own=0.1),
}


def _readings() -> list[Experiment]:
    found = []
    for pairs, an_image in _SIZES:
        size = f"{pairs} pairs, {an_image} an image"
        notes = {
            (entry.name, COVERAGE): NOISE
            for entry in (
                names.SCENE_WORD_COSINE,
                names.SCENE_COHERENCE,
                names.SCENE_LESS_NULL_1,
                names.NULL_2,
            )
        }
        for name, world in _READ.items():
            study = partial(read_scene, replace(world, pairs=pairs, an_image=an_image))
            seen = 0 < world.word < _SEEN
            limits = {key: _HALF_SEEN for key in notes if key[0] != names.NULL_2.name} if seen else {}
            found.append(Experiment(f"scene over layers: {name}, {size}", study, 400, notes, limits=limits))
        for name, world in _NULL_2.items():
            study = partial(read_null_2, replace(world, pairs=pairs, an_image=an_image))
            found.append(Experiment(f"Null 2: {name}, {size}", study, 400 if world.own else TESTED, notes))
    for pairs, an_image, objects in _NAMED:
        size = f"{pairs} pairs of {objects} objects, {an_image} an image"
        notes = {(entry.name, COVERAGE): NOISE for entry in (names.SCENE_COHERENCE, names.SCENE_DISJOINT)}
        for name, world in _CARRIED.items():
            study = partial(disjoint, replace(world, pairs=pairs, an_image=an_image, objects=objects))
            limits = {(names.SCENE_COHERENCE.name, COVERAGE): _SHARED_OBJECTS} if world.carried else {}
            text = f"object-disjoint: {name}, {size}"
            found.append(Experiment(text, study, 400 if world.space else TESTED, notes, limits=limits))
    return found


SCENES = [*_scenes(), *_readings()]
