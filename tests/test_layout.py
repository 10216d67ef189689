"""The plan of the package: one workflow per command, and rooms that stay small."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "vlmprobe"
WORKFLOWS = {
    *("analyze", "database", "demo", "export", "extract", "families", "import_results", "merge"),
    *("plot", "query", "run", "sync", "train", "ui", "verify"),
}


def test_a_workflow_is_a_command() -> None:
    """What else is needed has a room of its own; ``database`` serves ``db`` and ``backup``, ``query`` also ``sql``."""
    assert {path.stem for path in PACKAGE.glob("workflows/*.py")} == WORKFLOWS | {"__init__"}
    commands = {path.stem.rstrip("_").replace("demo_", "") for path in PACKAGE.glob("cli/*.py")}
    assert WORKFLOWS - commands == {"database", "import_results"}


def test_no_room_of_the_worker_is_crowded() -> None:
    """Nine files in a folder can be taken in at a look."""
    folders = [path for path in (PACKAGE / "families" / "worker").rglob("*") if path.is_dir()]
    crowded = [folder.name for folder in folders if len(list(folder.glob("*.py"))) > 9]
    assert crowded == []
