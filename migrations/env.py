"""Alembic's entry point: migrates the connection that vlmprobe.store.migrate hands over."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles

from vlmprobe.store.schema import Base


@compiles(String, "postgresql")
def _text(*_: Any, **__: Any) -> str:
    """Let texts sort by their characters' numbers, as DuckDB's do, whatever language the database speaks."""
    return 'TEXT COLLATE "C"'


context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
