"""The tables that are made of others, see ``kept_rows.py``."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from vlmprobe.store.schema_base import Base

__all__ = ["KeptAnswerCount", "KeptPairAnswer", "KeptRunCounts"]


class KeptPairAnswer(Base):
    """Both answers of a complete run to a pair; made of its predictions."""

    __tablename__ = "kept_pair_answers"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    pair_id: Mapped[str] = mapped_column(primary_key=True)
    orig_text: Mapped[str | None]
    swap_text: Mapped[str | None]
    orig_margin: Mapped[float | None]
    swap_margin: Mapped[float | None]
    orig_correct: Mapped[bool]
    swap_correct: Mapped[bool]


class KeptAnswerCount(Base):
    """How many pairs of a group a complete run answered right, and the sums over images that its bounds need."""

    __tablename__ = "kept_answer_counts"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    side: Mapped[str] = mapped_column(primary_key=True)
    n_images: Mapped[int] = mapped_column(BigInteger)
    n: Mapped[int] = mapped_column(BigInteger)
    k: Mapped[int] = mapped_column(BigInteger)
    nn: Mapped[int] = mapped_column(BigInteger)
    kk: Mapped[int] = mapped_column(BigInteger)
    kn: Mapped[int] = mapped_column(BigInteger)


class KeptRunCounts(Base):
    """What a list of runs says of a complete run; its row means that the other kept rows of the run are there too."""

    __tablename__ = "kept_run_counts"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    n_pairs: Mapped[int] = mapped_column(BigInteger)
    n_answers: Mapped[int] = mapped_column(BigInteger)
    n_unnamed: Mapped[int] = mapped_column(BigInteger)
    n_failed: Mapped[int] = mapped_column(BigInteger)
