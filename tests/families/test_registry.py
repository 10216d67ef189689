"""Families are found by name and imported only when asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from vlmprobe.errors import MissingPackageError, ModelError, UsageError
from vlmprobe.families import Family, family_names, load_family_class, registry


@pytest.fixture
def installed(monkeypatch):
    """Pretend that a plug-in registered these entry points: name -> target."""

    def pretend(**targets: str) -> None:
        points = [EntryPoint(name, target, registry.GROUP) for name, target in targets.items()]
        monkeypatch.setattr(registry, "entry_points", lambda **_group: points)

    return pretend


def test_the_families_of_the_package_are_known_without_installing_it():
    """A checkout on the PYTHONPATH offers its own families."""
    assert family_names()[:2] == ["auto", "qwen25"]
    assert issubclass(load_family_class("tiny"), Family)


def test_a_plug_in_adds_a_family(installed):
    """An installed entry point is listed beside the package's own."""
    installed(other="vlmprobe.families.worker.qwen:Qwen25")
    assert family_names() == ["auto", "other", "qwen25", "tiny"]
    assert load_family_class("other").__name__ == "Qwen25"


def test_an_unknown_family_lists_the_known_ones():
    """A wrong name is answered with the right ones."""
    with pytest.raises(UsageError, match=r"^unknown family 'qwen'; known: auto, qwen25, tiny$"):
        load_family_class("qwen")


def test_a_missing_package_names_the_command_that_installs_it(installed):
    """The install name is given, not the import name."""
    installed(other="olmo.nowhere:Model")
    with pytest.raises(MissingPackageError, match=r"needs the package 'olmo', .* run: pip install ai2-olmo$"):
        load_family_class("other")


def test_a_package_that_a_family_declares_is_looked_for_before_loading(installed, monkeypatch):
    """``requires`` is checked although importing the family did not need the package."""
    installed()
    monkeypatch.setattr(load_family_class("qwen25"), "requires", ("einops_not_here",))
    with pytest.raises(MissingPackageError, match="pip install einops_not_here"):
        load_family_class("qwen25")


@pytest.mark.parametrize("target", ["vlmprobe.errors:Nothing", "vlmprobe.errors:VlmprobeError"])
def test_an_entry_point_that_is_no_family_is_an_error(installed, target):
    """Neither a missing attribute nor a class of another kind passes."""
    installed(other=target)
    with pytest.raises(ModelError, match="family 'other'"):
        load_family_class("other")


def test_naming_families_and_scales_imports_no_torch():
    """Listing stays quick."""
    code = (
        "import sys, vlmprobe.families as f; f.family_names(); f.load_catalog().scale('tiny', '2m');"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
