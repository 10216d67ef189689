"""Axes of a dataset are rows; views know datasets; a home's paths are relative; metrics say how their interval came.

A run says which of several trainings of its scale it is. Any words can be opposites that way.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

from vlmprobe.store.relative_paths import make_absolute, make_relative

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

#: What every dataset had before: axis, canonical category, opposite.
AXES = (("horizontal", "left", "right"), ("vertical", "above", "below"), ("distance", "far", "close"))

#: In the order they build on each other. They get the dataset's id, since two datasets may have one name, and bounds
#: that know which pairs share an image.
VIEWS = ("pair_answers", "accuracy", "accuracy_by_category", "accuracy_by_perspective", "consistency")
NEW_VIEWS = ("run_axes", "answer_shares")

#: Of ``metrics``: what was computed before has none of these.
COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("n_images", sa.Integer()),
    ("method", sa.String()),
    ("reason", sa.String()),
    ("p_layers", sa.Float(precision=53)),
)


def upgrade() -> None:
    """Make the table, columns and views; earlier datasets get the three axes there were; paths become relative."""
    table = op.create_table(
        "axes",
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("axis", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("canonical", sa.String(), nullable=False),
        sa.Column("opposite", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id", "axis"),
    )
    datasets = op.get_bind().execute(sa.text("SELECT dataset_id FROM datasets")).scalars().all()
    rows = [
        {"dataset_id": dataset_id, "axis": axis, "position": place, "canonical": first, "opposite": second}
        for dataset_id in datasets
        for place, (axis, first, second) in enumerate(AXES)
    ]
    if rows:
        op.bulk_insert(table, rows)
    _drop_views(VIEWS)
    for name, kind in COLUMNS:
        op.add_column("metrics", sa.Column(name, kind, nullable=True))
    op.add_column("runs", sa.Column("training", sa.String(), nullable=True))
    _create_views(revision, _views())
    make_relative(op.get_bind())


def downgrade() -> None:
    """Drop the table, the columns and the view; other views get their first form again, paths become absolute."""
    make_absolute(op.get_bind())
    _drop_views(_views())
    op.drop_table("axes")
    for name, _ in COLUMNS:
        op.drop_column("metrics", name)
    op.drop_column("runs", "training")
    _create_views("0001", VIEWS)


def _views() -> tuple[str, ...]:
    """Return the names in the order they build on each other: Postgres drops no view that another one reads."""
    first, *others = VIEWS
    return first, *NEW_VIEWS, *others


def _drop_views(views: tuple[str, ...]) -> None:
    for view in reversed(views):
        op.execute(f"DROP VIEW {view}")


def _create_views(version: str, views: tuple[str, ...]) -> None:
    folder = Path(__file__).resolve().parents[1] / "views" / version
    for view in views:
        sql = (folder / f"{view}.sql").read_text(encoding="utf-8")
        if op.get_bind().dialect.name == "postgresql":
            sql = sql.replace(" AS DOUBLE)", " AS DOUBLE PRECISION)")
        op.execute(sql)
