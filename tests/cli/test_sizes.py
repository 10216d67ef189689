"""Sizes of memory on the command line."""

from __future__ import annotations

import pytest

from vlmprobe.cli.sizes import size_in_bytes
from vlmprobe.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"), [("1GiB", 2**30), ("1.5 gib", 3 * 2**29), ("500MB", 5 * 10**8), ("64 KiB", 2**16)]
)
def test_a_size_has_a_number_and_a_unit(text, size):
    """Units of 1,000 and of 1,024, in any case of letters."""
    assert size_in_bytes(text, "--memory") == size


@pytest.mark.parametrize("text", ["", "1", "GiB", "-1GiB", "0GiB", "1 parsec"])
def test_anything_else_is_refused(text):
    """The line says how to write one."""
    with pytest.raises(UsageError, match=r"--memory .* is no size of memory; write it as 1GiB or 500MiB"):
        size_in_bytes(text, "--memory")
