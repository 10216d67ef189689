"""How long the phases of a study took."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

from vlmprobe import timeline
from vlmprobe.timeline import Timeline

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_phases_are_summed_in_a_line_and_kept_one_by_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They overlap, so that the whole is less than their sum."""
    clock = iter((100.0, 100.0, 104.0, 104.0, 105.5, 106.0, 106.0))
    monkeypatch.setattr(timeline, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    times = Timeline()
    with times.during("asked", "tiny @ vanilla"):
        pass
    with times.during("asked", "tiny @ 2m"):
        pass
    times.add("analyzed", 4.0, "tiny @ vanilla")
    assert times.line() == "asked 5.5 s, analyzed 2.0 s; 6.0 s in all"

    times.write(tmp_path / "timeline.json")
    (first, *_), kept = times.phases, json.loads((tmp_path / "timeline.json").read_text())["timeline"]
    assert kept[0] == {"scale": "tiny @ vanilla", "phase": "asked", "start_s": 0.0, "end_s": 4.0}
    assert (first.scale, len(kept)) == ("tiny @ vanilla", 3)
