"""Packages that somebody's code imports and never uses."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import pytest

from vlmprobe.families.worker.environment.stand_ins import EmptyModule, standing_in


def test_a_missing_package_can_be_imported_within_the_block_only():
    """With its submodules and whatever name is taken from it; afterwards nobody is led to believe it is there."""
    with standing_in({"nobodys_package": EmptyModule}) as used:
        module = import_module("nobodys_package.ops.fused")
        taken = module.Attention
        assert find_spec("nobodys_package") is not None

        class Child(taken):
            pass

    assert used == ["nobodys_package"]
    assert find_spec("nobodys_package") is None
    assert not [name for name in sys.modules if name.startswith("nobodys_package")]
    with pytest.raises(ModuleNotFoundError, match=r"fused.Attention is needed; install nobodys_package"):
        Child()


def test_a_package_that_is_there_is_taken_and_others_stay_missing():
    """Only names that were given, and only where nothing else finds them."""
    with standing_in(dict.fromkeys(["json", "nobodys_package"], EmptyModule)) as used:
        assert import_module("json").dumps({}) == "{}"
        with pytest.raises(ModuleNotFoundError):
            import_module("another_package")
    assert used == []


def test_a_named_module_is_always_stood_in_for():
    """Also where its package has it: it is not to run."""
    with standing_in({}, {"email.nothing_like_this": EmptyModule}):
        from email.nothing_like_this import Anything
    assert Anything.__module__ == "email.nothing_like_this"
    assert "email.nothing_like_this" not in sys.modules


def test_a_stand_in_can_do_something_and_has_the_parts_it_has():
    """Its own module is imported; another part of the package stays missing."""
    made = ModuleType("nobodys_package.ops")
    parts = {"nobodys_package": ModuleType("nobodys_package"), made.__name__: made}
    with standing_in({"nobodys_package": parts.get}):
        assert import_module("nobodys_package.ops") is made
        with pytest.raises(ModuleNotFoundError, match=r"nobodys_package\.others"):
            import_module("nobodys_package.others")


def test_no_thread_takes_away_the_stand_ins_of_another():
    """Each waits for the block of the one before: what it imported is there until its own block ends."""

    def work(_number):
        with standing_in({"nobodys_package": EmptyModule}):
            first = import_module("nobodys_package.ops")
            time.sleep(0.005)
            return import_module("nobodys_package.ops") is first

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, range(12)))
