"""Image swaps: the same questions about two pictures that differ in which of two objects is where.

A swap pair exchanges two names in a question about one picture; an image swap exchanges the two things in the picture
and leaves the questions alone. Both reverse the right answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.pairs.swap_pair import RowProblem

if TYPE_CHECKING:
    from vlmprobe.pairs.dataset import Dataset
    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = ["ImageSwap", "ImageSwaps", "link_image_swaps"]


@dataclass(frozen=True, slots=True)
class ImageSwap:
    """A pair and its partner: the same two questions about another picture, with each other's right answers."""

    pair: SwapPair
    partner: SwapPair


@dataclass(frozen=True, slots=True)
class ImageSwaps:
    """The image swaps of two datasets."""

    links: tuple[ImageSwap, ...]
    """In the order of the first dataset's pairs."""
    problems: tuple[RowProblem, ...]
    """Pairs without a partner, by the first dataset's line, and partners that are none, by the second one's."""


def link_image_swaps(dataset: Dataset, exchanged: Dataset) -> ImageSwaps:
    """Link each sampled pair of a dataset to the pair of the same id in a file of exchanged pictures.

    Two pairs are an image swap if both questions are the same, word for word, the right answers of each are the wrong
    ones of the other, and the pictures differ.

    Args:
        dataset: the pairs as they are asked.
        exchanged: those about the other pictures, sampled or not, under the same template.

    Raises:
        UsageError: the templates differ, or no pair has a partner.
    """
    if dataset.template != exchanged.template:
        raise UsageError(
            f"image swaps need one template; {dataset.path} is under {dataset.template}, "
            f"{exchanged.path} under {exchanged.template}"
        )
    partners = {pair.pair_id: pair for pair in exchanged.made}
    links: list[ImageSwap] = []
    problems: list[RowProblem] = []
    for pair in dataset.pairs:
        partner = partners.get(pair.pair_id)
        if partner is None:
            why = f"no pair {pair.pair_id[:60]!r} in {exchanged.path}"
            problems.append(RowProblem(pair.line, "no partner", why, "index"))
        elif (why_not := _why_not(pair, partner)) is not None:
            problems.append(RowProblem(partner.line, "no image swap", why_not))
        else:
            links.append(ImageSwap(pair, partner))
    if not links:
        first = problems[0]
        raise UsageError(
            f"no pair of {exchanged.path} is an image swap of one of {dataset.path} ({first.what}: {first.why}); "
            "pass a benchmark and its exchanged pictures, as 'vlmprobe data mirror' or 'vlmprobe demo benchmark "
            "--image-swaps' writes them"
        )
    return ImageSwaps(tuple(links), tuple(problems))


def _why_not(pair: SwapPair, partner: SwapPair) -> str | None:
    """Return why two pairs of one id are no image swap; None if they are one."""
    if any(one.text != other.text for one, other in zip(pair.questions, partner.questions, strict=True)):
        return f"it asks {partner.orig.text!r}, where the pair asks {pair.orig.text!r}"
    if partner.category != pair.category.opposite:
        return f"it is {partner.category}, where the pair is {pair.category}: the relation is not reversed"
    if partner.image_sha256 == pair.image_sha256:
        return "it has the pair's own picture"
    return None
