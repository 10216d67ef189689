"""What ``make lint`` says of pip-audit's answers."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

verdict = runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "audit.py"))["verdict"]

CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
FLAWED = {"name": "pillow", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1", "2.0"]}]}
UNKNOWN = {"name": "torch", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        ([CLEAN], 0, "audit: no known vulnerability in 1 pinned versions"),
        ([CLEAN, UNKNOWN], 0, "audit: no known vulnerability in 1 pinned versions; not known to it: torch"),
        ([CLEAN, FLAWED, UNKNOWN], 1, "audit: pillow 1.0: CVE-1, mended in 1.1, 2.0"),
        ([UNKNOWN], 0, "audit: the index knows none of the 1 pinned versions, so none was checked"),
    ],
)
def test_a_known_vulnerability_fails_and_ignorance_is_told(
    asked: list[dict[str, Any]], code: int, says: str
) -> None:
    """Nothing known is never called clean."""
    assert verdict(json.dumps({"dependencies": asked}), "") == (code, says)


def test_without_an_index_it_says_so_and_goes_on() -> None:
    """A machine without a network can lint."""
    code, says = verdict("", "Traceback\nConnectionError: no route to host")
    assert code == 0
    assert says == (
        "audit: the index cannot be asked, so no version was checked (ConnectionError: no route to host)"
    )
