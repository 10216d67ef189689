"""Alembic's entry point: migrates the connection that vlmprobe.store.migrate hands over."""

from __future__ import annotations

from alembic import context

from vlmprobe.store.schema import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
