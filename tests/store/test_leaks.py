"""What leaks is kept with its dataset, under its template."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmprobe.analysis.leaks import Leak
from vlmprobe.store.leaks import read_leaks, store_leaks

if TYPE_CHECKING:
    from vlmprobe.store.engine import Database

FOUND = Leak(
    name="names",
    target="vertical",
    value=0.8875,
    chance=0.5,
    n=80,
    n_images=80,
    p_value=0.001,
    p_holm=0.006,
    draws=999,
    seed=42,
    method="ridge 1",
    says="Names alone tell.",
)
UNKNOWN = Leak(
    name="perspective", target="distance", value=None, n=0, n_images=0, reason="no boxes are known"
)


def test_what_was_found_comes_back_whole_and_in_order(database: Database) -> None:
    """What is not known stays None, which is not NaN; another template has rows of its own."""
    with database.transaction() as connection:
        store_leaks(connection, "d", "published", [UNKNOWN, FOUND])
        assert read_leaks(connection, "d", "published") == [UNKNOWN, FOUND]
        assert read_leaks(connection, "d", "yes-no") == []


def test_a_new_check_replaces_the_rows_of_the_old_one(database: Database) -> None:
    """A check that is made no more leaves nothing; other datasets are left alone."""
    with database.transaction() as connection:
        store_leaks(connection, "d", "published", [FOUND, UNKNOWN])
        store_leaks(connection, "other", "published", [FOUND])
        store_leaks(connection, "d", "published", [replace(FOUND, value=0.5)])
        assert read_leaks(connection, "d", "published") == [replace(FOUND, value=0.5)]
        assert read_leaks(connection, "other", "published") == [FOUND]
