"""Image swaps in the database: datasets that hold the same questions about pictures with two objects exchanged.

Two stored pairs are an image swap as ``pairs.link_image_swaps`` says: one id, both questions word for word the same,
the other category of the axis, and another picture. Nothing is stored of it, since the pairs themselves say so.

The pairs do not say which of two such datasets is the original. It is the one with a real, analyzed run under the
published template: exchanged pictures are asked for what they say of the others, and need no analysis of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.pairs import PUBLISHED, is_under
from vlmprobe.store.metrics import analyzed_runs
from vlmprobe.store.rows import fetch, fetch_as

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["SwapsOf", "exchanged_datasets", "swapped_pictures", "swaps_of"]

#: Sampled rows of one dataset and of others that are image swaps of each other.
_SWAPS = """
FROM swap_pairs AS own
INNER JOIN swap_pairs AS other
    ON own.template = other.template AND own.pair_id = other.pair_id
    AND own.dataset_id <> other.dataset_id
WHERE own.dataset_id = $id AND own.template = $template
    AND own.origin = 'row' AND other.origin = 'row'
    AND own.orig_question = other.orig_question AND own.swap_question = other.swap_question
    AND own.axis = other.axis AND own.category <> other.category
    AND own.image_sha256 <> other.image_sha256
"""


@dataclass(frozen=True, slots=True)
class SwapsOf:
    """A dataset whose pairs are image swaps of another's."""

    dataset_id: str
    n_pairs: int
    """Pairs of the two datasets that are an image swap; never 0."""


def swaps_of(connection: Connection, dataset_id: str, template: str) -> list[SwapsOf]:
    """Return the datasets that are linked to one as image swaps under a template, the one of most pairs first.

    Counts sampled rows alone, as stored: pairs that only quads need are none. Either dataset may be the original.
    """
    return fetch_as(
        SwapsOf,
        connection,
        f"""
        SELECT other.dataset_id, count(*) AS n_pairs {_SWAPS}
        GROUP BY other.dataset_id
        ORDER BY n_pairs DESC NULLS LAST, other.dataset_id
        """,
        {"id": dataset_id, "template": template},
    )


def swapped_pictures(
    connection: Connection, dataset_id: str, exchanged_id: str, template: str
) -> dict[str, str]:
    """Return the pairs of a dataset that are an image swap in another: id -> hash of the exchanged picture."""
    found = fetch(
        connection,
        f"SELECT own.pair_id, other.image_sha256 AS image {_SWAPS} AND other.dataset_id = $other",
        {"id": dataset_id, "template": template, "other": exchanged_id},
    )
    return {row["pair_id"]: row["image"] for row in found}


@dataclass(frozen=True, slots=True)
class _Asked:
    run_id: str
    dataset_id: str
    template: str


def exchanged_datasets(connection: Connection) -> set[str]:
    """Return the datasets that are image swaps of an original: left out wherever no dataset is named.

    A dataset with a real, analyzed run under the published template is an original itself, and never among them.
    """
    asked = fetch_as(
        _Asked, connection, "SELECT run_id, dataset_id, template FROM runs WHERE control IS NULL"
    )
    analyzed = analyzed_runs(connection)
    originals = {
        run.dataset_id for run in asked if run.run_id in analyzed and is_under(run.template, PUBLISHED.name)
    }
    others = dict.fromkeys((run.dataset_id, run.template) for run in asked if run.dataset_id not in originals)
    return {
        dataset_id
        for dataset_id, template in others
        if any(each.dataset_id in originals for each in swaps_of(connection, dataset_id, template))
    }
