"""Rows as a LaTeX table."""

from __future__ import annotations

from vlmprobe.cli.latex import latex_table


def test_numbers_stand_to_the_right_and_marks_are_escaped():
    """No data is a dash; a minus is no hyphen; what LaTeX would read as a command is text."""
    rows = [
        {"scale_name": "80k & 100 %", "value": -0.25, "verdict": "within ±3 points"},
        {"scale_name": "\\input{x}", "value": None, "verdict": "a_b ~ ^ #1 $"},
    ]
    assert latex_table(rows).splitlines() == [
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"scale name & value & verdict \\",
        r"\midrule",
        r"80k \& 100 \% & $-0.2500$ & within $\pm$3 points \\",
        r"\textbackslash{}input\{x\} & -- & a\_b \textasciitilde{} \textasciicircum{} \#1 \$ \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_arrows_and_comparisons_are_set_as_mathematics():
    """As of a comparison's table."""
    table = latex_table([{"95 % interval": "a_b & c -> 100 %", "p": "< 0.0001", "n": None}])
    assert r"95 \% interval & p & n \\" in table
    assert r"a\_b \& c $\to$ 100 \% & $<$ 0.0001 & -- \\" in table


def test_without_rows_there_is_a_head():
    """A table of nothing is still a table."""
    assert latex_table([], ["a", "b"]).count("\\\\") == 1
