"""Packages that somebody's code imports and never uses."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from vlmprobe.families.worker.loading.stand_ins import standing_in


def test_a_missing_package_can_be_imported_within_the_block_only():
    """With its submodules and whatever name is taken from it; afterwards nobody is led to believe it is there."""
    with standing_in(["nobodys_package"]) as used:
        module = import_module("nobodys_package.ops.fused")
        taken = module.Attention
        assert find_spec("nobodys_package") is not None

        class Child(taken):
            pass

    assert used == ["nobodys_package"]
    assert find_spec("nobodys_package") is None
    assert not [name for name in sys.modules if name.startswith("nobodys_package")]
    with pytest.raises(
        ModuleNotFoundError, match=r"fused.Attention is needed after all; install nobodys_package"
    ):
        Child()


def test_a_package_that_is_there_is_taken_and_others_stay_missing():
    """Only names that were given, and only where nothing else finds them."""
    with standing_in(["json", "nobodys_package"]) as used:
        assert import_module("json").dumps({}) == "{}"
        with pytest.raises(ModuleNotFoundError):
            import_module("another_package")
    assert used == []


def test_a_named_module_is_always_stood_in_for():
    """Also where its package has it: it is not to run."""
    with standing_in([], ["email.nothing_like_this"]):
        from email.nothing_like_this import Anything
    assert Anything.__module__ == "email.nothing_like_this"
    assert "email.nothing_like_this" not in sys.modules
