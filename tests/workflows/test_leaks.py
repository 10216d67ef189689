"""An extraction keeps what its dataset gives away, and the report begins with it."""

from __future__ import annotations

from typing import Any


def test_a_study_keeps_what_its_dataset_gives_away(study: Any, rows: Any) -> None:
    """Once, however many scales are asked; every check has a sentence."""
    found = rows(study.home, "SELECT name, target, p_holm IS NULL, says FROM leaks ORDER BY position")
    assert [row[:2] for row in found if row[0] in ("names", "duplicates")] == [
        ("names", "horizontal"),
        ("names", "vertical"),
        ("names", "distance"),
        ("duplicates", "overall"),
    ]
    assert all(says.endswith(".") for *_, says in found)
    assert {name for name, _, is_no_test, _ in found if not is_no_test} == {
        "names",
        "answer_option",
        "answer_first",
    }
    page = (study.out / "report.html").read_text(encoding="utf-8")
    assert found[-1][-1] in page.partition("</header>")[0]
