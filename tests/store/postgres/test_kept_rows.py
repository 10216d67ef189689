"""Kept rows on Postgres: the tests of ``tests/store/test_kept_rows.py``, each with a database of its own."""

from ..test_kept_rows import *  # noqa: F403 - its tests and fixtures
