"""What all tables have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, Float, Integer, String
from sqlalchemy.orm import DeclarativeBase

__all__ = ["Base", "JsonObject"]

JsonObject = dict[str, Any]


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own protocol
        str: String,
        float: Float(53),
        int: Integer,
        bool: Boolean,
        datetime: DateTime,
        JsonObject: JSON,
    }
