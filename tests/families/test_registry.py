"""Families are found by name and imported only when asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, PackageNotFoundError
from pathlib import Path

import pytest

from vlmprobe.errors import MissingPackageError, ModelError, UsageError, VlmprobeError
from vlmprobe.families import Family, family_names, load_catalog, load_family_class, registry
from vlmprobe.families.worker.environment import packages


@pytest.fixture
def installed(monkeypatch):
    """Pretend that a plug-in registered these entry points: name -> target."""

    def pretend(**targets: str) -> None:
        points = [EntryPoint(name, target, registry.GROUP) for name, target in targets.items()]
        monkeypatch.setattr(registry, "entry_points", lambda **_group: points)

    return pretend


def test_the_families_of_the_package_are_known_without_installing_it():
    """A checkout on the PYTHONPATH offers its own families."""
    assert {"auto", "molmo", "nvila", "qwen25", "tiny"} <= set(family_names())
    assert issubclass(load_family_class("tiny"), Family)


def test_a_plug_in_adds_a_family(installed):
    """An installed entry point is listed beside the package's own."""
    installed(other="vlmprobe.families.worker.qwen:Qwen25")
    assert family_names() == ["auto", "molmo", "nvila", "other", "qwen25", "tiny"]
    assert load_family_class("other").__name__ == "Qwen25"


def test_an_unknown_family_lists_the_known_ones():
    """A wrong name is answered with the right ones."""
    with pytest.raises(UsageError, match=r"^unknown family 'qwen'; known: auto, molmo, nvila, "):
        load_family_class("qwen")


def test_a_missing_package_names_the_command_that_installs_it(installed):
    """The install name is given, not the import name."""
    installed(other="cv2.nowhere:Model")
    with pytest.raises(
        MissingPackageError, match=r"needs the package 'cv2', .* run: pip install opencv-python$"
    ):
        load_family_class("other")


def test_a_package_that_pip_does_not_get_whole_is_cloned(installed):
    """PyPI's olmo is another model's, and an installed copy of Molmo's lacks its sub-packages."""
    installed(other="olmo.nowhere:Model")
    with pytest.raises(
        MissingPackageError, match=r"'olmo', .* git clone \S+/molmo && pip install --no-deps -e "
    ):
        load_family_class("other")


def test_a_package_that_cannot_live_here_is_not_offered_to_pip(installed):
    """The answer to a missing llava is an environment of its own."""
    installed(other="llava.nowhere:Model")
    with pytest.raises(
        MissingPackageError, match=r"needs the package 'llava', .* separate environment"
    ) as caught:
        load_family_class("other")
    assert "pip" not in str(caught.value)


def test_a_module_lost_from_an_installed_package_is_no_missing_package(installed):
    """Installing the package that is there would not help."""
    installed(other="vlmprobe.nowhere:Model")
    with pytest.raises(ModelError, match=r"^family 'other': there is no module vlmprobe.nowhere; reinstall"):
        load_family_class("other")


def test_metadata_of_an_older_installation_is_no_second_offer(installed):
    """It named this package's own families too, where their code was then."""
    installed(tiny="vlmprobe.families.worker.tiny:Tiny")
    assert registry.conflict("tiny") is None
    assert registry.family_target("tiny") == "vlmprobe.families.worker.qwen:Tiny"


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
        "sys.exit(bool({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("package", "install"), [("tokenizers", "tokenizers"), ("PIL", "pillow")])
def test_a_package_that_transformers_misses_is_the_one_that_is_named(package, install):
    """It imports late and says something else; the family's own module is not to be reinstalled."""
    code = (
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from vlmprobe.families import load_family_class\n"
        "try:\n    load_family_class('qwen25')\n"
        "except Exception as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code, package], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        f"MissingPackageError family 'qwen25' needs the package {package!r}, which is not installed; "
        f"run: pip install {install}"
    )


def test_a_plug_in_that_cannot_be_imported_is_one_line(installed, monkeypatch):
    """What Python said goes with the name of the family and that of the module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugins"))
    installed(other="raising:Family")
    with pytest.raises(
        MissingPackageError, match=r"^family 'other': raising cannot be imported \(ImportError: "
    ) as caught:
        load_family_class("other")
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_no_missing_package(installed, monkeypatch):
    """Importing torch takes a folder for temporary files: where there is none the run fails, its usage is right."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugins"))
    installed(other="refused:Family")
    with pytest.raises(VlmprobeError, match="because no file can be written") as caught:
        load_family_class("other")
    assert caught.value.exit_code == 1


def test_a_plug_in_does_not_take_the_name_of_another_family(installed):
    """Whichever ran, the run key would be the same: neither does, and the line names both packages."""
    installed(molmo="other_package.code:Molmo")
    said = "registered by other_package and by vlmprobe"
    assert registry.conflict("molmo") == said
    assert registry.conflict("tiny") is None
    for ask in (load_family_class, registry.family_target):
        with pytest.raises(UsageError, match=f"^family 'molmo' is {said}; uninstall one, or register it"):
            ask("molmo")


def test_a_package_that_another_one_imports_late_is_the_one_that_is_named():
    """What transformers raises in place of the error that tells; what it can do without is not blamed."""
    lost = ModuleNotFoundError("No module named 'nowhere.part'", name="nowhere.part")
    failed = RuntimeError("Failed to import a.b because of the following error")
    failed.__cause__ = lost
    assert packages.lost_package(failed) == "nowhere"
    other = ImportError("cannot import name 'x' from 'y'")
    other.__context__ = lost
    assert packages.lost_package(other) is None
    said = "The 'nowhere>=0.22,<1' distribution was not found and is required by this application"
    assert packages.lost_package(PackageNotFoundError(said)) == "nowhere"


@pytest.mark.parametrize("name", ["auto", "qwen25", "tiny"])
def test_the_oldest_transformers_is_the_same_in_code_list_and_docs(name):
    """What is refused, what `vlmprobe families` shows, what the page on environments says."""
    least = ".".join(map(str, load_family_class(name).least_transformers))
    assert f"{least} or newer" in load_catalog().needs(name).text
    docs = (Path(__file__).parents[2] / "docs" / "environments.md").read_text(encoding="utf-8")
    assert f"`qwen25`, `tiny` and `auto` run on transformers {least}\n  or newer" in docs
