"""One pair: its picture, its questions, its answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import InputError, UsageError
from vlmprobe.pairs import read_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe import Workspace


def test_a_pair_has_its_picture_and_both_answers(workspace: Workspace, study: Any) -> None:
    """The picture is that of the benchmark's row; what differs by side is a tuple."""
    dataset = read_dataset(study.data)
    source = dataset.pairs[7]
    pair = workspace.pair("tiny/2m", source.pair_id)
    assert pair.questions == (source.orig.text, source.swap.text)
    assert pair.expected == (source.orig.expected, source.swap.expected)
    assert (pair.subject, pair.reference) == (source.subject, source.reference)
    assert pair.picture.tobytes() == dataset.image(source).tobytes()
    assert pair.picture is pair.picture


def test_a_pair_says_what_was_asked_and_answered(workspace: Workspace) -> None:
    """A wrong answer stands beside the expected one."""
    table = workspace.pairs("tiny/vanilla").to_pandas()
    row = table[~table.swap_correct].iloc[0]
    shown = repr(workspace.pair("tiny/vanilla", row.pair_id))
    assert shown.startswith(f"<Pair {row.pair_id} of tiny @ vanilla: {row.category}\n")
    assert f"{row.swap_question} -> {row.swap_text!r}: wrong, expected {row.swap_expected!r}" in shown


def test_a_notebook_shows_the_picture_and_runs_nothing(workspace: Workspace) -> None:
    """Questions and answers come from files and models, so they are escaped."""
    pair = replace(workspace.pair("tiny/2m", "0"), answers=("<script>alert(1)</script>", "right"))
    page = pair._repr_html_()
    assert '<img src="data:image/png;base64,' in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_an_unknown_pair_is_an_error(workspace: Workspace) -> None:
    """The word null is an id as any other."""
    for pair_id in ("nope", "null"):
        with pytest.raises(
            UsageError, match=rf"tiny @ 2m has not answered a pair '{pair_id}'; pairs\(\) lists"
        ):
            workspace.pair("tiny/2m", pair_id)


def test_a_file_that_is_gone_is_asked_for(workspace: Workspace, study: Any, tmp_path: Path) -> None:
    """The answers are there all the same, and ``data=`` names the new place."""
    pair = workspace.pair("tiny/2m", "0", data=tmp_path / "gone.tsv")
    assert pair.answers == workspace.pair("tiny/2m", "0").answers
    with pytest.raises(
        InputError, match=r"picture of pair 0 is in .*gone.tsv, which is not there; pass .* data="
    ):
        _ = pair.picture
    assert "which is not there" in pair._repr_html_()
    moved = tmp_path / "moved.tsv"
    moved.write_bytes(study.data.read_bytes())
    assert (
        workspace.pair("tiny/2m", "0", data=moved).picture.size == workspace.pair("tiny/2m", "0").picture.size
    )


def test_another_picture_is_never_shown(workspace: Workspace, study: Any, tmp_path: Path) -> None:
    """A picture is found by its hash: rows may move, but what is not there anymore is not replaced."""
    header, first, *others = study.data.read_bytes().splitlines(keepends=True)
    changed = tmp_path / "changed.tsv"
    changed.write_bytes(b"".join([header, *others, first]))
    assert workspace.pair("tiny/2m", "0", data=changed).picture.tobytes() == (
        workspace.pair("tiny/2m", "0").picture.tobytes()
    )
    changed.write_bytes(b"".join([header, *others]))
    with pytest.raises(InputError, match=r"the picture of pair 0 is not in .*changed.tsv anymore"):
        _ = workspace.pair("tiny/2m", "0", data=changed).picture
