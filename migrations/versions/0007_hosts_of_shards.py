"""Which host wrote a shard is kept with it, since several hosts may share the database.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLE, _NEW = "shards", "shards_0007"


def upgrade() -> None:
    """Add the column; nobody knows which host wrote the shards that are there."""
    host = sa.Column("host", sa.String(), nullable=True)
    if _is_postgres():
        # What a role may read there would not go over to another table.
        op.add_column(_TABLE, host)
    else:
        _replace_table([*_columns(), host])


def downgrade() -> None:
    """Drop the column."""
    if _is_postgres():
        op.drop_column(_TABLE, "host")
    else:
        _replace_table(_columns())


def _is_postgres() -> bool:
    return bool(op.get_bind().dialect.name == "postgresql")


def _replace_table(columns: list[sa.Column[object]]) -> None:
    """Copy the table into one with other columns.

    DuckDB cannot alter a table whose rows were changed in the same transaction, as 0003 does when it makes paths
    relative.
    """
    op.create_table(_NEW, *columns, sa.PrimaryKeyConstraint("run_id", "shard"))
    kept = ", ".join(column.name for column in _columns())
    op.execute(f"INSERT INTO {_NEW} ({kept}) SELECT {kept} FROM {_TABLE}")  # noqa: S608 - names from above
    op.drop_table(_TABLE)
    op.rename_table(_NEW, _TABLE)


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("artifact_uri", sa.String(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("n_pairs", sa.Integer(), nullable=False),
        sa.Column("layers", sa.JSON(), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("synced_at", sa.DateTime(), nullable=True),
    ]
