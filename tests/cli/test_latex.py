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


def test_without_rows_there_is_a_head():
    """A table of nothing is still a table."""
    assert latex_table([], ["a", "b"]).count("\\\\") == 1
