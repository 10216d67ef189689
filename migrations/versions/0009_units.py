"""Work that several machines share: units that were submitted, and parts of one run.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = ("units", "run_parts")
#: What roles other than the one that owns our tables may do with runs (Postgres).
RIGHTS = """
SELECT DISTINCT grantee, privilege_type FROM information_schema.role_table_grants
WHERE table_schema = current_schema() AND table_name = 'runs' AND grantee <> grantor
    AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
"""


def upgrade() -> None:
    """Make the tables; nothing that is there changes."""
    op.create_table(
        "units",
        sa.Column("submission", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("commands", sa.JSON(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("scale", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("templates", sa.JSON(), nullable=False),
        sa.Column("part", sa.String(), nullable=True),
        sa.Column("log", sa.String(), nullable=True),
        sa.Column("job", sa.String(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("host", sa.String(), nullable=True),
        sa.Column("process", sa.Integer(), nullable=True),
        sa.Column("token", sa.String(), nullable=True),
        sa.Column("seen", sa.Float(precision=53), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("submission", "number"),
    )
    op.create_table(
        "run_parts",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("n_parts", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "n_parts", "part"),
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        quoted = connection.dialect.identifier_preparer.quote_identifier
        for role, right in connection.execute(sa.text(RIGHTS)).all():
            grantee = role if role == "PUBLIC" else quoted(role)
            for name in TABLES:
                op.execute(f"GRANT {right} ON {name} TO {grantee}")


def downgrade() -> None:
    """Drop the tables."""
    for table in TABLES:
        op.drop_table(table)
