"""Complete runs keep their pair answers and counts, so that views need not aggregate all predictions.

The views have the columns that they had, and the same rows to the last bit.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from vlmprobe.store.kept_rows import keep_rows

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

#: In the order they build on each other.
NEW_VIEWS = (
    "every_computed_pair_answer",
    "every_computed_run_count",
    "every_computed_answer_count",
    "every_run_count",
)
#: View -> the revision whose text it had before.
CHANGED_VIEWS = {"every_pair_answer": "0004", "every_answer_share": "0004"}
TABLES = ("kept_pair_answers", "kept_answer_counts", "kept_run_counts")
#: Roles that may read all our tables, other than the one that owns them (Postgres).
READERS = """
SELECT DISTINCT grantee FROM information_schema.role_table_grants
WHERE table_schema = current_schema() AND table_name = 'runs' AND privilege_type = 'SELECT' AND grantee <> grantor
"""


def upgrade() -> None:
    """Make the tables and views, fill them for the runs that are complete, then let the other views read them."""
    op.create_table(
        "kept_pair_answers",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("pair_id", sa.String(), nullable=False),
        sa.Column("orig_text", sa.String(), nullable=True),
        sa.Column("swap_text", sa.String(), nullable=True),
        sa.Column("orig_margin", sa.Float(precision=53), nullable=True),
        sa.Column("swap_margin", sa.Float(precision=53), nullable=True),
        sa.Column("orig_correct", sa.Boolean(), nullable=False),
        sa.Column("swap_correct", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "pair_id"),
    )
    op.create_table(
        "kept_answer_counts",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("n_images", "n", "k", "nn", "kk", "kn")
        ),
        sa.PrimaryKeyConstraint("run_id", "kind", "name", "side"),
    )
    op.create_table(
        "kept_run_counts",
        sa.Column("run_id", sa.String(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("n_pairs", "n_answers", "n_unnamed", "n_failed")
        ),
        sa.PrimaryKeyConstraint("run_id"),
    )
    for view in NEW_VIEWS:
        op.execute(_text(view, revision))
    connection = op.get_bind()
    # One after the other: what is aggregated at once stays as small as a run.
    complete = sa.text("SELECT run_id FROM runs WHERE status = 'complete' ORDER BY run_id")
    for run_id in connection.execute(complete).scalars().all():
        keep_rows(connection, run_id)
    for view in CHANGED_VIEWS:
        _replace_view(view, revision)
    if connection.dialect.name == "postgresql":
        _let_readers_read(connection)


def downgrade() -> None:
    """Let the views compute everything again; then drop what is new."""
    for view, version in CHANGED_VIEWS.items():
        _replace_view(view, version)
    for view in reversed(NEW_VIEWS):
        op.execute(f"DROP VIEW {view}")
    for table in TABLES:
        op.drop_table(table)


def _replace_view(view: str, version: str) -> None:
    # In its place: the views that build on it stay, and so does what a role of Postgres may read.
    op.execute(_text(view, version).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))


def _text(view: str, version: str) -> str:
    folder = Path(__file__).resolve().parents[1] / "views"
    return (folder / version / f"{view}.sql").read_text(encoding="utf-8")


def _let_readers_read(connection: sa.Connection) -> None:
    quoted = connection.dialect.identifier_preparer.quote_identifier
    for role in connection.execute(sa.text(READERS)).scalars().all():
        grantee = role if role == "PUBLIC" else quoted(role)
        for name in (*TABLES, *NEW_VIEWS):
            op.execute(f"GRANT SELECT ON {name} TO {grantee}")
