"""How well the names of two objects tell their relation, without the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.analysis.leaks.bag import HELD_OUT, NEW_NAMES, Bag
from vlmprobe.analysis.leaks.leak import Leak
from vlmprobe.pairs.contradictions import object_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmprobe.analysis.leaks.bag import HeldOut
    from vlmprobe.pairs import Axis, SwapPair

__all__ = ["NAMES", "NAMES_NEW", "NO_NAMES", "leaks_of_names"]

NAMES, NAMES_NEW = "names", "names_new"
NO_NAMES = "the file's own questions name no objects"


def leaks_of_names(axis: Axis, pairs: Sequence[SwapPair], *, n_draws: int, seed: int) -> Iterator[Leak]:
    """Yield the held-out accuracies of one axis: about new images, and about new names besides.

    Args:
        axis: of the pairs.
        pairs: of one axis. The same objects of the same picture count once, in whichever order a row names them.
        n_draws: of the null.
        seed: of the draws.
    """
    once: dict[tuple[str, ...], tuple[str, str, SwapPair]] = {}
    for pair in pairs:
        if pair.subject is None or pair.reference is None:
            continue
        subject, reference = object_key(pair.subject), object_key(pair.reference)
        if subject != reference:
            key = (pair.image_sha256, *sorted((subject, reference)))
            once.setdefault(key, (subject, reference, pair))
    n_images = len({pair.image_sha256 for pair in pairs})
    if not once:
        for name in (NAMES, NAMES_NEW):
            yield Leak(
                name=name, target=str(axis), value=None, n=len(pairs), n_images=n_images, reason=NO_NAMES
            )
        return
    bag = Bag(
        [subject for subject, _, _ in once.values()],
        [reference for _, reference, _ in once.values()],
        [pair.category.is_canonical for _, _, pair in once.values()],
        [pair.image_sha256 for _, _, pair in once.values()],
        n_draws=n_draws,
        seed=seed,
    )
    for name, found, method in (
        (NAMES, bag.of_new_images(), HELD_OUT),
        (NAMES_NEW, bag.of_new_names(), NEW_NAMES),
    ):
        yield _leak(name, axis, found, method, n_draws, seed)


def _leak(name: str, axis: Axis, found: HeldOut, method: str, n_draws: int, seed: int) -> Leak:
    is_drawn = found.p_value is not None
    above = "" if found.chance_high is None else f"{found.chance_high:.2f} in 95 % of the draws at most"
    return Leak(
        name=name,
        target=str(axis),
        value=found.accuracy,
        n=found.n,
        n_images=found.n_images,
        detail=above,
        chance=found.chance,
        p_value=found.p_value,
        draws=n_draws if is_drawn else None,
        seed=seed if is_drawn else None,
        method=method,
        reason=found.reason,
    )
