"""A new Postgres database for each test, in place of the DuckDB file that the other tests of the store have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vlmprobe.settings import Settings
from vlmprobe.store.postgres_store import PostgresStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ...postgres_server import Server


@pytest.fixture
def settings(tmp_path: Path, postgres: Server) -> Settings:
    """Name a database with the schema, and a home."""
    environ = {"VLMPROBE_DATABASE_URL": postgres.migrated()}
    return Settings.load(tmp_path / "home", environ=environ, folder=tmp_path)


@pytest.fixture
def another(settings: Settings) -> Iterator[Callable[[], PostgresStore]]:
    """Open the database once more, as another process or machine does."""
    opened: list[PostgresStore] = []

    def open_it() -> PostgresStore:
        opened.append(PostgresStore(settings.database_url, home=settings.home))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def database(another: Callable[[], PostgresStore]) -> PostgresStore:
    """Open it."""
    return another()
