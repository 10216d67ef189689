"""The tables (DESIGN 4). Natural text keys, no foreign keys, times in UTC without a zone.

DuckDB cannot alter a parent of a foreign key, so ``queries/checks/`` checks integrity instead.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - SQLAlchemy reads the annotations

from sqlalchemy import JSON, BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from vlmprobe.store.schema_base import Base, JsonObject
from vlmprobe.store.schema_kept import KeptAnswerCount, KeptPairAnswer, KeptRunCounts
from vlmprobe.store.schema_units import RunPart, UnitRow

__all__ = [
    "AxisRow",
    "Base",
    "Certificate",
    "DatasetRow",
    "Failure",
    "KeptAnswerCount",
    "KeptPairAnswer",
    "KeptRunCounts",
    "LeakRow",
    "MetricRow",
    "Prediction",
    "QuadRow",
    "ResultJson",
    "RowProblemRow",
    "RunPart",
    "RunRow",
    "Shard",
    "SwapPairRow",
    "UnitRow",
]


class DatasetRow(Base):
    """One dataset: a file's content and the options it was read with (boxes apart)."""

    __tablename__ = "datasets"
    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    path: Mapped[str]
    form: Mapped[str]
    options: Mapped[JsonObject]
    n_rows: Mapped[int]
    boxes: Mapped[JsonObject | None]
    created_at: Mapped[datetime]


class AxisRow(Base):
    """One axis of a dataset; ``details`` is NULL for a built-in one, whose words and colors are in the code."""

    __tablename__ = "axes"
    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    axis: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    canonical: Mapped[str]
    opposite: Mapped[str]
    details: Mapped[JsonObject | None]


class SwapPairRow(Base):
    """One swap pair of a dataset under one template."""

    __tablename__ = "swap_pairs"
    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    template: Mapped[str] = mapped_column(primary_key=True)
    pair_id: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[str]
    position: Mapped[int]
    category: Mapped[str]
    axis: Mapped[str]
    subject: Mapped[str | None]
    reference: Mapped[str | None]
    orig_question: Mapped[str | None]
    orig_expected: Mapped[str]
    orig_opposite: Mapped[str]
    swap_question: Mapped[str | None]
    swap_expected: Mapped[str]
    swap_opposite: Mapped[str]
    image_sha256: Mapped[str | None]
    image_width: Mapped[int | None]
    image_height: Mapped[int | None]
    question_id: Mapped[str | None]
    line: Mapped[int | None]
    perspective: Mapped[str | None]


class QuadRow(Base):
    """A link between a distance pair and the vertical pair about the same two objects."""

    __tablename__ = "quads"
    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    template: Mapped[str] = mapped_column(primary_key=True)
    distance_pair_id: Mapped[str] = mapped_column(primary_key=True)
    vertical_pair_id: Mapped[str | None]


class RowProblemRow(Base):
    """A row of a dataset that gives no pair."""

    __tablename__ = "row_problems"
    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str]
    why: Mapped[str]
    column_name: Mapped[str | None]


class LeakRow(Base):
    """What one check of a dataset under one template found, before any model was asked."""

    __tablename__ = "leaks"
    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    template: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    value: Mapped[float | None]
    chance: Mapped[float | None]
    ci_low: Mapped[float | None]
    ci_high: Mapped[float | None]
    p_value: Mapped[float | None]
    p_holm: Mapped[float | None]
    n: Mapped[int]
    n_images: Mapped[int]
    draws: Mapped[int | None]
    seed: Mapped[int | None]
    method: Mapped[str]
    detail: Mapped[str]
    reason: Mapped[str]
    says: Mapped[str]


class RunRow(Base):
    """One run: one checkpoint on one dataset under one template."""

    __tablename__ = "runs"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    run_key: Mapped[str] = mapped_column(unique=True)
    dataset_id: Mapped[str]
    template: Mapped[str]
    family: Mapped[str]
    scale: Mapped[str]
    checkpoint: Mapped[str]
    fingerprint: Mapped[str | None]
    samples_seen: Mapped[int | None] = mapped_column(BigInteger)
    global_steps: Mapped[int | None] = mapped_column(BigInteger)
    training: Mapped[str | None]
    control: Mapped[str | None]
    serves: Mapped[str | None]
    dtype: Mapped[str | None]
    device: Mapped[str | None]
    n_layers: Mapped[int | None]
    dim: Mapped[int | None]
    versions: Mapped[JsonObject | None]
    config: Mapped[JsonObject | None]
    status: Mapped[str]
    provenance: Mapped[str]
    lease: Mapped[str | None]
    mlflow_run_id: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Prediction(Base):
    """One answer to one question, and where its hidden states are."""

    __tablename__ = "predictions"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    pair_id: Mapped[str] = mapped_column(primary_key=True)
    side: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str | None]
    parsed: Mapped[str | None]
    correct: Mapped[bool]
    checker: Mapped[str]
    parsed_words: Mapped[str | None]
    correct_words: Mapped[bool | None]
    margin: Mapped[float | None]
    shard: Mapped[int | None]
    shard_row: Mapped[int | None]


class Failure(Base):
    """A pair that failed, once per attempt."""

    __tablename__ = "failures"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    pair_id: Mapped[str] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    error: Mapped[str]
    message: Mapped[str]
    failed_at: Mapped[datetime]


class Shard(Base):
    """A safetensors file of hidden states (or of deltas only, for imports)."""

    __tablename__ = "shards"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    path: Mapped[str]
    artifact_uri: Mapped[str | None]
    sha256: Mapped[str]
    n_bytes: Mapped[int] = mapped_column(BigInteger)
    n_pairs: Mapped[int]
    layers: Mapped[list[int]] = mapped_column(JSON)
    dim: Mapped[int]
    dtype: Mapped[str]
    created_at: Mapped[datetime]
    synced_at: Mapped[datetime | None]
    host: Mapped[str | None]


class Certificate(Base):
    """The comparison of the fast path with plain forwards on one batch (DESIGN 6)."""

    __tablename__ = "certificates"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    batch: Mapped[int] = mapped_column(primary_key=True)
    reason: Mapped[str]
    n_questions: Mapped[int]
    dtype: Mapped[str]
    max_rel_dh: Mapped[float | None]
    median_delta_cosine: Mapped[float | None]
    delta_error: Mapped[float | None]
    plain_delta_error: Mapped[float | None]
    layers_counted: Mapped[int]
    answers_compared: Mapped[int]
    answers_equal: Mapped[int]
    passed: Mapped[bool]
    action: Mapped[str]
    created_at: Mapped[datetime]


class MetricRow(Base):
    """One number of one run (layer -1 = not per layer)."""

    __tablename__ = "metrics"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    subset: Mapped[str] = mapped_column(primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    std: Mapped[float | None]
    n: Mapped[int]
    ci_low: Mapped[float | None]
    ci_high: Mapped[float | None]
    p_value: Mapped[float | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    n_images: Mapped[int | None]
    method: Mapped[str | None]
    reason: Mapped[str | None]
    p_layers: Mapped[float | None]
    computed_at: Mapped[datetime]
    synced_at: Mapped[datetime | None]


class ResultJson(Base):
    """A result that is not a number: a list of layers, explained variances."""

    __tablename__ = "results_json"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    subset: Mapped[str] = mapped_column(primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[JsonObject]
    computed_at: Mapped[datetime]
