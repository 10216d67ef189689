"""Quads as rows: links, perspectives and counts of a dataset."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.pairs import HeldImage, QuadLink, QuadSet, Question, SwapPair
from vlmprobe.pairs.axes import ABOVE, BELOW
from vlmprobe.store.datasets import register_quads

if TYPE_CHECKING:
    from collections.abc import Callable

LINKS = "SELECT distance_pair_id, vertical_pair_id FROM quads ORDER BY 1, 2"
PARTNER = SwapPair(
    pair_id="1/v",
    category=ABOVE,
    subject="cup",
    reference="book",
    orig=Question("?", ABOVE, BELOW),
    swap=Question("?", BELOW, ABOVE),
    image_sha256="a",
    image_width=100,
    image_height=100,
    line=2,
    image_source=HeldImage(b""),
    origin="quad",
)
QUADS = QuadSet(
    links=(QuadLink("1", "1/v"),),
    pairs=(PARTNER,),
    perspectives={"1": "consistent", "2": "ambiguous"},
    counts={"matched": 1, "ambiguous": 1, "no_box": 0, "no_objects": 0},
)


@pytest.fixture
def register(study: Any) -> Callable[[QuadSet], None]:
    """Give a dataset of two distance pairs its quads."""
    study.pairs({"1": "far", "2": "close"})
    study.pairs({"1": "far", "2": "close"}, template="yes-no")

    def run(quads: QuadSet, template: str = "published") -> None:
        dataset = SimpleNamespace(dataset_id="data", template=template, name="bench", pairs=(None, None))
        with study.database.transaction() as connection:
            register_quads(connection, dataset, quads)  # type: ignore[arg-type]

    return run


def test_a_quad_is_a_link_and_a_pair(study: Any, register: Any) -> None:
    """The vertical partner comes after the dataset's own pairs; perspectives go to the distance pairs."""
    register(QUADS)
    assert study.rows(LINKS) == [("1", "1/v")]
    columns = "SELECT pair_id, origin, position, perspective FROM swap_pairs WHERE template = 'published'"
    assert study.rows(f"{columns} ORDER BY pair_id") == [
        ("1", "row", 1, "consistent"),
        ("1/v", "quad", 2, None),
        ("2", "row", 2, "ambiguous"),
    ]
    assert json.loads(study.rows("SELECT boxes FROM datasets")[0][0])["counts"] == QUADS.counts


def test_the_same_quads_again_change_nothing(study: Any, register: Any) -> None:
    """Every scale of a study registers them."""
    register(QUADS)
    register(QUADS)
    assert study.rows(LINKS) == [("1", "1/v")]


def test_each_template_has_its_quads(study: Any, register: Any) -> None:
    """Whichever came first; pairs, links and perspectives are those of the template that was asked."""
    register(QUADS)
    register(QUADS.under("yes-no"), "yes-no")
    register(QUADS.under("yes-no"), "yes-no")
    assert study.rows("SELECT template, distance_pair_id, vertical_pair_id FROM quads ORDER BY 1, 2, 3") == [
        ("published", "1", "1/v"),
        ("yes-no", "1", "1/v"),
    ]
    assert study.rows(
        "SELECT template, pair_id, orig_expected, perspective FROM swap_pairs "
        "WHERE origin = 'quad' OR pair_id = '1' ORDER BY 1, 2"
    ) == [
        ("published", "1", "far", "consistent"),
        ("published", "1/v", "above", None),
        ("yes-no", "1", "far", "consistent"),
        ("yes-no", "1/v", "yes", None),
    ]


def test_other_boxes_are_refused_for_another_template_too(study: Any, register: Any) -> None:
    """A dataset has one set of boxes: numbers under two templates are about the same quads."""
    register(QUADS)
    other = replace(QUADS, links=(), pairs=(), perspectives={"2": "ambiguous"})
    with pytest.raises(UsageError, match=r"different quads for bench"):
        register(other, "yes-no")


def test_other_quads_are_refused(study: Any, register: Any) -> None:
    """Runs hold answers made with the first; the line says what either file gives."""
    register(QUADS)
    counts = {**QUADS.counts, "matched": 0, "no_box": 1}
    other = replace(QUADS, links=(), pairs=(), perspectives={"2": "ambiguous"}, counts=counts)
    with pytest.raises(UsageError, match=r"bench .*1 matched.* then, 0 matched.* now.*--home"):
        register(other)
    assert study.rows(LINKS) == [("1", "1/v")]


def test_quads_that_there_were_none_of_are_replaced(study: Any, register: Any) -> None:
    """A file of boxes that fitted nothing has left nothing that others could contradict."""
    nothing = {"matched": 0, "ambiguous": 0, "no_box": 2, "no_objects": 0}
    register(QuadSet(links=(), pairs=(), perspectives={}, counts=nothing))
    assert study.rows(LINKS) == []
    register(QUADS)
    assert study.rows(LINKS) == [("1", "1/v")]
