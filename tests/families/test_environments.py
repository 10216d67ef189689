"""The Python that a family runs in is named in the user's file and looked for when the family is opened."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from vlmprobe.errors import InputError
from vlmprobe.families import Environment, load_catalog

if TYPE_CHECKING:
    from pathlib import Path


def catalog(folder: Path, text: str):
    """Read a user's file."""
    file = folder / "vlmprobe.toml"
    file.write_text(text, encoding="utf-8")
    return load_catalog(file)


def test_paths_are_seen_from_the_file(tmp_path, monkeypatch):
    """Relative to the file, ``~`` written out, wherever the command runs."""
    monkeypatch.setenv("HOME", "/home/ada")
    text = '[families.nvila]\npython = "env/bin/python"\npythonpath = ["../VILA", "~/lib"]\ntimeout = 60'
    (tmp_path / "project").mkdir()
    assert catalog(tmp_path / "project", text).environment("nvila") == Environment(
        python=str(tmp_path / "project" / "env" / "bin" / "python"),
        pythonpath=(str(tmp_path / "VILA"), "/home/ada/lib"),
        timeout=60.0,
    )


def test_a_virtual_environments_python_is_not_followed_to_where_it_leads(tmp_path):
    """A virtual environment is found by its link; the interpreter behind it has other packages."""
    link = tmp_path / "env" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(sys.executable)
    environment = catalog(tmp_path, '[families.nvila]\npython = "env/bin/python"').environment("nvila")
    assert (environment.python, environment.pythonpath, environment.timeout) == (str(link), (), 900.0)
    environment.check("nvila")


def test_a_scale_says_where_it_runs(tmp_path):
    """The environment travels with the scale; other families run here."""
    read = catalog(tmp_path, '[families.nvila]\npython = "/env/bin/python"')
    assert read.scale("nvila", "80k").environment == Environment("/env/bin/python")
    assert read.scale("qwen25", "80k").environment is None


def test_a_family_of_ones_own_runs_where_its_architecture_runs(tmp_path):
    """Unless it names another Python."""
    text = (
        '[families.nvila]\npython = "/env/bin/python"\n'
        '[families.mine]\narchitecture = "nvila"\n'
        '[families.other]\narchitecture = "nvila"\npython = "/other/bin/python"'
    )
    read = catalog(tmp_path, text)
    assert read.environment("mine").python == "/env/bin/python"
    assert read.environment("other").python == "/other/bin/python"


def test_needs_are_those_of_the_code(tmp_path):
    """A family of one's own needs what its architecture needs; on other code it needs something else."""
    read = catalog(
        tmp_path, '[families.mine]\narchitecture = "nvila"\n[families.molmo]\narchitecture = "auto"'
    )
    assert read.needs("mine") == read.needs("nvila")
    assert "llava" in read.needs("mine").packages
    assert read.needs("molmo") == read.needs("auto")


@pytest.mark.parametrize(
    ("python", "more", "message"),
    [
        ("nowhere/python", "", r"there is no Python at \S+/nowhere/python; "),
        (".", "", "there is no Python at "),
        ("plain.txt", "", r"\S+/plain.txt is not executable; "),
        (sys.executable, 'pythonpath = ["nowhere"]', r"pythonpath: there is no folder \S+/nowhere; "),
    ],
)
def test_what_is_not_there_is_one_line_when_it_is_needed(tmp_path, python, more, message):
    """Reading the file says nothing, since other families do not need it."""
    (tmp_path / "plain.txt").touch(mode=0o600)
    environment = catalog(tmp_path, f'[families.nvila]\npython = "{python}"\n{more}').environment("nvila")
    with pytest.raises(InputError, match=f"^family 'nvila': {message}") as caught:
        environment.check("nvila")
    assert "\n" not in str(caught.value)
