"""A run may be a control: it serves another run, and no view shows it among the real ones.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

#: Views as they are since this revision, and the revision whose text each has, in the order they build on each other.
VIEWS = {
    "run_axes": "0004",
    "every_pair_answer": "0004",
    "pair_answers": "0004",
    "every_answer_share": "0004",
    "answer_shares": "0004",
    "accuracy": "0003",
    "accuracy_by_category": "0003",
    "accuracy_by_perspective": "0003",
    "control_accuracy": "0004",
    "consistency": "0004",
}
NEW_VIEWS = ("every_pair_answer", "every_answer_share", "control_accuracy")


def upgrade() -> None:
    """Add the columns; runs that are there are real ones, whose controls are NULL."""
    earlier = {view: "0003" for view in VIEWS if view not in NEW_VIEWS}
    _drop_views(earlier)
    for name in ("control", "serves"):
        op.add_column("runs", sa.Column(name, sa.String(), nullable=True))
    _create_views(VIEWS)


def downgrade() -> None:
    """Remove the controls, which earlier versions would take for real runs; then the columns."""
    _drop_views(VIEWS)
    for table in ("predictions", "failures", "shards", "certificates", "metrics", "results_json", "runs"):
        op.execute(f"DELETE FROM {table} WHERE run_id IN (SELECT run_id FROM runs WHERE control IS NOT NULL)")  # noqa: S608 - our own names
    for name in ("control", "serves"):
        op.drop_column("runs", name)
    _create_views({view: "0003" for view in VIEWS if view not in NEW_VIEWS})


def _drop_views(views: dict[str, str]) -> None:
    for view in reversed(views):
        op.execute(f"DROP VIEW {view}")


def _create_views(views: dict[str, str]) -> None:
    folder = Path(__file__).resolve().parents[1] / "views"
    for view, version in views.items():
        op.execute((folder / version / f"{view}.sql").read_text(encoding="utf-8"))
