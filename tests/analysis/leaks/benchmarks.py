"""Benchmarks in memory whose names leak as much as is wanted, and everything else by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.pairs import PUBLISHED, SPACE, HeldImage, SwapPair

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HIGH", "LOW", "perspectives_of", "simulated", "swap_pair"]

#: Names of the farther or higher object, and of the nearer or lower one, where names leak.
HIGH = ("wall", "window", "clock", "picture", "shelf", "curtain", "lamp", "door")
LOW = ("table", "rug", "chair", "cup", "floor", "box", "shoe", "bench")


def swap_pair(
    place: int,
    category: str,
    subject: str | None,
    reference: str | None,
    *,
    image: str | None = None,
    option: tuple[int, int] | None = None,
) -> SwapPair:
    """Return a pair with the published questions."""
    meant = SPACE.category(category)
    orig, swap = PUBLISHED.ask(meant, subject or "one", reference or "other")
    return SwapPair(
        pair_id=str(place),
        category=meant,
        subject=subject,
        reference=reference,
        orig=orig,
        swap=swap,
        image_sha256=image or f"image-{place}",
        image_width=64,
        image_height=64,
        line=place + 2,
        image_source=HeldImage(b""),
        answer_option=option,
    )


def simulated(
    seed: int,
    *,
    leak: float = 0.5,
    n_an_axis: int = 80,
    pairs_an_image: Sequence[int] = (1,),
    canonical_share: float = 0.5,
) -> list[SwapPair]:
    """Draw a benchmark of three axes.

    Args:
        seed: of everything.
        leak: how often the canonical object has the name of a high thing, the other of a low one; else the reverse. At
            .5 names say nothing.
        n_an_axis: pairs of each axis.
        pairs_an_image: how many pairs of an axis an image may have; drawn for each. They are about a few objects whose
            relations agree.
        canonical_share: how often a row names the canonical object as the subject.
    """
    rng = np.random.default_rng(seed)
    pairs: list[SwapPair] = []
    for axis in SPACE:
        made, image = 0, 0
        while made < n_an_axis:
            n = min(int(rng.choice(pairs_an_image)), n_an_axis - made)
            # The order of an image's objects, from the canonical end, is that of their names or by chance.
            for first, second in _couples(rng, n, leak):
                is_canonical = rng.random() < canonical_share
                subject, reference = (first, second) if is_canonical else (second, first)
                pairs.append(
                    swap_pair(
                        len(pairs),
                        axis.canonical if is_canonical else axis.canonical.opposite,
                        subject,
                        reference,
                        image=f"{axis}-{image}",
                        option=(int(rng.integers(4)), 4),
                    )
                )
            made, image = made + n, image + 1
    return pairs


def _couples(rng: np.random.Generator, n: int, leak: float) -> list[tuple[str, str]]:
    """Return n couples of objects of one image, the canonical one first, all of them the same way round."""
    high = [str(name) for name in rng.choice(HIGH, size=min(n, 8), replace=False)]
    low = [str(name) for name in rng.choice(LOW, size=min(n, 8), replace=False)]
    as_named = rng.random() < leak
    couples = list(zip(high, low, strict=True))
    return couples if as_named else [(second, first) for first, second in couples]


def perspectives_of(pairs: Sequence[SwapPair], seed: int, consistent: float = 0.5) -> dict[str, str]:
    """Return whether each distance pair is consistent, by chance."""
    rng = np.random.default_rng((seed, 1))
    distance = [pair for pair in pairs if pair.axis == "distance"]
    return {pair.pair_id: "consistent" if rng.random() < consistent else "counter" for pair in distance}
