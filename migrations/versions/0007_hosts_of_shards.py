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


def upgrade() -> None:
    """Add the column; nobody knows which host wrote the shards that are there."""
    op.add_column("shards", sa.Column("host", sa.String(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("shards", "host")
