"""Options written back as arguments are read as the same options."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from vlmprobe.cli.arguments import arguments
from vlmprobe.cli.extraction_options import CheckpointOptions, ExtractionOptions
from vlmprobe.cli.main import app

EXTRACT = typer.main.get_command(app).commands["extract"]  # type: ignore[attr-defined]
#: Something else than the default for every option.
CHANGED: dict[str, Any] = {
    "checkpoint": "org/a model",
    "processor": "-odd",
    "revision": "main",
    "new_checkpoint": True,
    "templates": "published,yes-no",
    "boxes": "boxes of mine.json",
    "max_per_category": 0,
    "allow_contradictions": True,
    "allow_problems": True,
    "layers": "0,5",
    "dtype": "float32",
    "device": "cuda:1",
    "devices": "0,1",
    "compile_layers": False,
    "batch": "8",
    "new": True,
    "wait": True,
    "rehash": True,
    "trust_remote_code": True,
}


def read(kind: type[Any], words: list[str]) -> Any:
    """Read arguments as ``vlmprobe extract`` does."""
    given = EXTRACT.make_context("extract", ["tiny", "--scale", "2m", "--data", "f.tsv", *words]).params
    return kind(**{each.name: given[each.name] for each in fields(kind)})


@pytest.mark.parametrize("kind", [CheckpointOptions, ExtractionOptions])
def test_each_option_is_read_back(kind: type[Any]) -> None:
    """One by one and all together; a new option without a value here fails."""
    assert arguments(kind()) == []
    names = [each.name for each in fields(kind)]
    for chosen in (*([name] for name in names), names):
        group = kind(**{name: CHANGED[name] for name in chosen})
        assert group != kind()
        assert read(kind, arguments(group)) == group, chosen


def test_a_file_that_is_there_gets_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command may run in another folder; a hub id stays what it is."""
    monkeypatch.chdir(tmp_path)
    Path("boxes.json").write_text("[]", encoding="utf-8")
    assert arguments(ExtractionOptions(boxes="boxes.json")) == ["--boxes", str(tmp_path / "boxes.json")]
    assert arguments(ExtractionOptions(boxes="org/boxes")) == ["--boxes", "org/boxes"]
