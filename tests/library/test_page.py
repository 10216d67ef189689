"""docs/python.md and README.md: what they run, runs; what they list is what there is."""

from __future__ import annotations

import contextlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import vlmprobe
from vlmprobe import Workspace
from vlmprobe.library.pair import Pair
from vlmprobe.library.run import Run
from vlmprobe.library.states import States
from vlmprobe.library.verdict import Verdict

from ..postgres_server import named_by_environment

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
PAGE, README = ((ROOT / name).read_text(encoding="utf-8") for name in ("docs/python.md", "README.md"))
BLOCKS = {
    f"{name} {number}": block
    for name, text in (("docs/python.md", PAGE), ("README.md", README))
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    )
}
#: They extract and draw a report, which tests of the full tier do.
LONG = {name for name, block in BLOCKS.items() if "extract(" in block}


@pytest.fixture
def folder(study: Any, tmp_path: Path) -> Path:
    """Return a folder in which ``vlmprobe-data`` is a finished study."""
    (tmp_path / "vlmprobe-data").symlink_to(study.home, target_is_directory=True)
    return tmp_path


@pytest.mark.parametrize("name", sorted(BLOCKS.keys() - LONG))
def test_the_script_runs(name: str, study: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands on the page."""
    names: dict[str, Any] = {}
    with contextlib.chdir(folder), named_by_environment(study.home):
        exec(compile(BLOCKS[name], name, "exec"), names)  # noqa: S102 - our own page
    if "wrong" in names:
        shown = capsys.readouterr().out
        assert set(names["coherence"].scale) == {"vanilla", "2m"}
        assert names["states"].pair_ids[0] in shown
        assert "wrong, expected" in shown
        assert {file.name for file in folder.glob("*.png")} == {"coherence.png", "wrong.png"}


def test_the_scripts_are_short() -> None:
    """Twelve lines on the page, eight in the README."""
    assert len(BLOCKS["docs/python.md 0"].splitlines()) <= 12
    assert len(BLOCKS["README.md 0"].splitlines()) <= 8


def _calls(text: str) -> dict[str, list[str]]:
    """Return the calls in the first column of the page's tables, with the names of their arguments."""
    return {
        name: arguments.split(", ")
        for name, arguments in re.findall(
            r"^\| `(?:workspace\.)?(\w+)\(([^)]*)\)` \|", text, flags=re.MULTILINE
        )
    }


def _arguments(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_every_method_is_on_the_page_with_its_arguments() -> None:
    """And no other: what is not on the page may change."""
    methods = {
        name: _arguments(function)
        for name, function in vars(Workspace).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }
    functions = {name: _arguments(getattr(vlmprobe, name)) for name in ("extract", "analyze", "merge")}
    calls = _calls(PAGE)
    # Its options are those of the command.
    listed = calls["extract"].index("...")
    functions["extract"][listed:] = ["..."]
    assert calls == methods | functions


def test_every_column_is_on_the_page(workspace: Workspace) -> None:
    """In the order of the table."""
    tables = {
        "runs": workspace.runs(),
        "predictions": workspace.predictions("tiny/2m"),
        "pairs": workspace.pairs("tiny/2m"),
        "metrics": workspace.metrics("tiny/2m"),
    }
    section = PAGE.partition("## Tables")[2].partition("##")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, flags=re.MULTILINE)
    listed = {name: re.findall(r"`(\w+)`", columns) for name, columns in rows}
    assert listed == {name: table.column_names for name, table in tables.items()}
    assert listed["runs"] == list(Run.__dataclass_fields__)


@pytest.mark.parametrize(("name", "result"), [("pair", Pair), ("states", States), ("verdict", Verdict)])
def test_every_field_of_a_result_is_on_the_page(name: str, result: type) -> None:
    """Also what is computed from them."""
    row = re.findall(rf"^\| {name} \| (.+) \|$", PAGE, flags=re.MULTILINE)[0]
    public = {field for field in vars(result)["__dataclass_fields__"] if not field.startswith("_")}
    computed = {Pair: {"picture"}, States: {"deltas"}, Verdict: set()}[result]
    assert set(re.findall(r"`(\w+)`", row)) == public | computed
