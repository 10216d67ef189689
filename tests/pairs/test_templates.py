"""A dataset under another template: the same rows, asked otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.pairs import AS_WRITTEN, TEMPLATES, link_quads, read_boxes, read_dataset


def _but_for_questions(pairs: Any) -> list[Any]:
    return [replace(pair, orig=None, swap=None) for pair in pairs]


def _asked(pairs: Any) -> list[str]:
    return [question.text for pair in pairs for question in pair.questions]


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_same_rows_are_asked_under_each_template(tsv: Any, template: str) -> None:
    """Pairs, order, sample, images and the dataset's id are those of the published template; questions are its own."""
    rows = [tsv.horizontal(), tsv.distance("cup", "lamp", "book", "desk"), tsv.horizontal(), tsv.horizontal()]
    path = tsv.write(*rows)
    published = read_dataset(path, max_per_category=2)
    other = read_dataset(path, max_per_category=2, template=template)
    assert (other.template, other.dataset_id) == (template, published.dataset_id)
    assert len(other.pairs) == 3
    assert len(other.made) == 4
    assert _but_for_questions(other.pairs) == _but_for_questions(published.pairs)
    assert _but_for_questions(other.made) == _but_for_questions(published.made)
    assert (_asked(other.made) == _asked(published.made)) == (template == "published")
    assert published.under(template) == other
    assert other.under("published") == published


def test_the_questions_are_the_templates(tsv: Any) -> None:
    """Subject and reference of the row are put into the template's wording."""
    dataset = read_dataset(tsv.write(tsv.horizontal()), template="yes-no")
    assert _asked(dataset.pairs) == [
        "Is the cup to the left of the book? Answer with only one word.",
        "Is the book to the left of the cup? Answer with only one word.",
    ]
    assert [question.expected for question in dataset.pairs[0].questions] == ["yes", "no"]


def test_questions_that_a_file_spells_out_have_no_other_template(tsv: Any) -> None:
    """They are asked as they are where the published template is meant; the line names file and form."""
    path = tsv.write(tsv.ready_made())
    assert read_dataset(path, template="published").template == AS_WRITTEN
    with pytest.raises(UsageError, match=r"tsv contains its own questions \(ready-made form\).* yes-no"):
        read_dataset(path, template="yes-no")


def test_a_wrong_template_is_told_before_the_file_is_read(tsv: Any) -> None:
    """The file need not even be there; the line lists the names."""
    with pytest.raises(UsageError, match="unknown template 'nope'; known: balanced, "):
        read_dataset(tsv.path.with_name("none.tsv"), template="nope")


@pytest.mark.parametrize("template", TEMPLATES)
def test_quads_are_asked_under_the_same_template(benchmark: Any, template: str) -> None:
    """Linking a dataset that is under a template gives what putting linked quads under it gives."""
    data = benchmark(4)
    boxes = read_boxes(str(data.parent / "boxes.json"))
    dataset = read_dataset(data, max_per_category=2)
    linked = link_quads(dataset.under(template), boxes)
    assert linked == link_quads(dataset, boxes).under(template)
    vertical = next(pair for pair in linked.pairs if pair.pair_id.endswith("/v"))
    other = template in {"yes-no", "yes-no-opposite"}
    assert (vertical.orig.expected in {"yes", "no"}) == other
