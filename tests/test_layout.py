"""The plan of the package: one workflow per command, and rooms that stay small."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from vlmprobe.pairs import SPACE
from vlmprobe.resources import migrations_folder, queries_folder

PACKAGE = Path(__file__).resolve().parents[1] / "vlmprobe"
WORKFLOWS = {
    *("analyze", "compare", "database", "demo", "doctor", "export", "extract", "families", "import_home"),
    *("control", "import_results", "merge", "mirror", "robustness"),
    *("plot", "query", "reproduce", "run", "runs", "scales", "sync", "train", "ui", "units", "verdict"),
    "verify",
}


def test_a_workflow_is_a_command() -> None:
    """What else is needed has a room of its own.

    ``database`` serves ``db`` and ``backup``, ``query`` also ``sql``, ``scales`` both ``run`` and ``demo``.
    """
    assert {path.stem for path in PACKAGE.glob("workflows/*.py")} == WORKFLOWS | {"__init__"}
    commands = {
        path.stem.rstrip("_").replace("demo_", "").replace("data_", "") for path in PACKAGE.glob("cli/*.py")
    }
    assert WORKFLOWS - commands == {"database", "import_home", "import_results", "scales"}


def test_no_room_of_the_worker_is_crowded() -> None:
    """Nine files in a folder can be taken in at a look."""
    folders = [path for path in (PACKAGE / "families" / "worker").rglob("*") if path.is_dir()]
    crowded = [folder.name for folder in folders if len(list(folder.glob("*.py"))) > 9]
    assert crowded == []


def test_axes_are_named_where_they_are_declared_alone() -> None:
    """Other code iterates over a dataset's axes, or takes HEIGHT and DEPTH.

    The demo's scenes and the old layout are about these very words. A figure has a left side, an answer is right,
    and so is the end of a sorted array.
    """
    names = {str(name) for name in (*SPACE, *SPACE.categories)}
    about_space = ("pairs/axes.py", "demo/", "interop/")
    about_sides = ("figures/", "cli/console.py", "library/pair.py", "analysis/inference/layers.py")
    found = {
        f"{place}: {node.value}"
        for path in PACKAGE.rglob("*.py")
        if not (place := path.relative_to(PACKAGE).as_posix()).startswith(about_space)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
        if node.value not in {"left", "right"} or not place.startswith(about_sides)
    }
    assert found == set()


def test_sql_sorts_by_the_table_of_axes() -> None:
    """No query names one; of the views, only those that know perspective, which is about depth."""
    quoted = re.compile("|".join(f"'{name}'" for name in (*SPACE, *SPACE.categories)))
    files = [*queries_folder().rglob("*.sql"), *(migrations_folder() / "views").rglob("*.sql")]
    assert {path.stem for path in files if quoted.search(path.read_text(encoding="utf-8"))} == {
        "accuracy_by_perspective",
        "answer_shares",
        "every_answer_share",
        "every_computed_answer_count",
    }
