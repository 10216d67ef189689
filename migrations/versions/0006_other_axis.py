"""Controls that ask about another axis have no accuracy.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_VIEW = "control_accuracy"


def upgrade() -> None:
    """Leave them out of the view, where right and wrong would be about the pair's own axis."""
    _replace_view("0006")


def downgrade() -> None:
    """Restore the view."""
    _replace_view("0004")


def _replace_view(version: str) -> None:
    folder = Path(__file__).resolve().parents[1] / "views"
    op.execute(f"DROP VIEW {_VIEW}")
    op.execute((folder / version / f"{_VIEW}.sql").read_text(encoding="utf-8"))
