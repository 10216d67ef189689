"""The first schema: every table and view of the design."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# In the order they build on each other.
VIEWS = ("pair_answers", "accuracy", "accuracy_by_category", "accuracy_by_perspective", "consistency")
TABLES = (
    "certificates",
    "datasets",
    "failures",
    "metrics",
    "predictions",
    "quads",
    "results_json",
    "row_problems",
    "runs",
    "shards",
    "swap_pairs",
)


def in_dialect(sql: str) -> str:
    """Return the text of a view of this revision for the database at hand; later ones are the same for both."""
    return (
        sql.replace(" AS DOUBLE)", " AS DOUBLE PRECISION)")
        if op.get_bind().dialect.name == "postgresql"
        else sql
    )


def upgrade() -> None:
    """Make the tables, then the views."""
    op.create_table(
        "certificates",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("n_questions", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.String(), nullable=False),
        sa.Column("max_rel_dh", sa.Float(precision=53), nullable=True),
        sa.Column("median_delta_cosine", sa.Float(precision=53), nullable=True),
        sa.Column("layers_counted", sa.Integer(), nullable=False),
        sa.Column("answers_compared", sa.Integer(), nullable=False),
        sa.Column("answers_equal", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "batch"),
    )
    op.create_table(
        "datasets",
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("form", sa.String(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.Column("boxes", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id"),
    )
    op.create_table(
        "failures",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("pair_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("failed_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "pair_id", "attempt"),
    )
    op.create_table(
        "metrics",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("subset", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=True),
        sa.Column("std", sa.Float(precision=53), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("ci_low", sa.Float(precision=53), nullable=True),
        sa.Column("ci_high", sa.Float(precision=53), nullable=True),
        sa.Column("p_value", sa.Float(precision=53), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("computed_at", sa.DateTime(), nullable=False),
        sa.Column("synced_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "name", "version", "subset", "target", "layer"),
    )
    op.create_table(
        "predictions",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("pair_id", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=True),
        sa.Column("parsed", sa.String(), nullable=True),
        sa.Column("correct", sa.Boolean(), nullable=False),
        sa.Column("checker", sa.String(), nullable=False),
        sa.Column("parsed_words", sa.String(), nullable=True),
        sa.Column("correct_words", sa.Boolean(), nullable=True),
        sa.Column("margin", sa.Float(precision=53), nullable=True),
        sa.Column("shard", sa.Integer(), nullable=True),
        sa.Column("shard_row", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "pair_id", "side"),
    )
    op.create_table(
        "quads",
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("distance_pair_id", sa.String(), nullable=False),
        sa.Column("vertical_pair_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id", "template", "distance_pair_id"),
    )
    op.create_table(
        "results_json",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("subset", sa.String(), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("computed_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "name", "version", "subset", "layer"),
    )
    op.create_table(
        "row_problems",
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("column_name", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id", "line"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("run_key", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("scale", sa.String(), nullable=False),
        sa.Column("checkpoint", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("samples_seen", sa.BigInteger(), nullable=True),
        sa.Column("global_steps", sa.BigInteger(), nullable=True),
        sa.Column("dtype", sa.String(), nullable=True),
        sa.Column("device", sa.String(), nullable=True),
        sa.Column("n_layers", sa.Integer(), nullable=True),
        sa.Column("dim", sa.Integer(), nullable=True),
        sa.Column("versions", sa.JSON(), nullable=True),
        sa.Column("config", sa.JSON(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("provenance", sa.String(), nullable=False),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("mlflow_run_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("run_id"),
        sa.UniqueConstraint("run_key"),
    )
    op.create_table(
        "shards",
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
        sa.PrimaryKeyConstraint("run_id", "shard"),
    )
    op.create_table(
        "swap_pairs",
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("pair_id", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("axis", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("orig_question", sa.String(), nullable=True),
        sa.Column("orig_expected", sa.String(), nullable=False),
        sa.Column("orig_opposite", sa.String(), nullable=False),
        sa.Column("swap_question", sa.String(), nullable=True),
        sa.Column("swap_expected", sa.String(), nullable=False),
        sa.Column("swap_opposite", sa.String(), nullable=False),
        sa.Column("image_sha256", sa.String(), nullable=True),
        sa.Column("image_width", sa.Integer(), nullable=True),
        sa.Column("image_height", sa.Integer(), nullable=True),
        sa.Column("question_id", sa.String(), nullable=True),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("perspective", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id", "template", "pair_id"),
    )
    folder = Path(__file__).resolve().parents[1] / "views" / revision
    for view in VIEWS:
        op.execute(in_dialect((folder / f"{view}.sql").read_text(encoding="utf-8")))


def downgrade() -> None:
    """Remove everything."""
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    for table in TABLES:
        op.drop_table(table)
