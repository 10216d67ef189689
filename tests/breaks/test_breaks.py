"""What 'make breaks' takes out is still there to be taken out."""

from __future__ import annotations

from pathlib import Path

import pytest

from .corrections import BREAKS
from .run import ROOT, main


@pytest.mark.parametrize("each", BREAKS, ids=lambda each: each.what)
def test_a_break_fits_the_source(each):
    """Its text is in its file once, and its tests exist."""
    assert (ROOT / each.file).read_text(encoding="utf-8").count(each.text) == 1
    assert each.text != each.instead
    assert all(Path(ROOT / test).exists() for test in each.tests.split())


def test_a_break_is_noticed(capsys):
    """One of them, in a copy of the source, which stays as it is."""
    assert main(["--only", "one of the two one-sided tests"]) == 0
    said = capsys.readouterr().out
    assert "test_equivalence.py::" in said
    assert said.endswith("1 breaks, 0 unnoticed\n")


def test_no_break_of_that_name_is_a_failure():
    """Rather than a run that says nothing."""
    assert main(["--only", "no such break"]) == 1
