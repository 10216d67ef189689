"""A certificate in half precision says how far fast and plain deltas are from those of float32.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = ("delta_error", "plain_delta_error")


def upgrade() -> None:
    """Add both errors; what was certified before has none."""
    for column in COLUMNS:
        op.add_column("certificates", sa.Column(column, sa.Float(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    for column in COLUMNS:
        op.drop_column("certificates", column)
