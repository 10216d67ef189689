"""Run ids that sort by time, and the key that identifies equal runs."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
import time
import uuid
from datetime import UTC, datetime
from typing import Any

__all__ = ["in_milliseconds", "new_run_id", "run_key", "this_host", "utc_now"]


def new_run_id() -> str:
    """Return a UUID version 7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, then random bits."""
    stamp = time.time_ns() // 1_000_000
    value = (stamp & (2**48 - 1)) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76  # version 7
    value = value & ~(0x3 << 62) | 0x2 << 62  # the RFC's variant
    return str(uuid.UUID(int=value))


def run_key(identity: dict[str, Any]) -> str:
    """Hash everything that identifies a run; the order of keys does not matter, every value does."""
    text = json.dumps(identity, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def this_host() -> str:
    """Return the name of this host, as leases have it too."""
    return socket.gethostname()


def utc_now() -> datetime:
    """Return the current time as the database stores it: UTC, without a zone, truncated to milliseconds.

    MLflow keeps milliseconds, and a replay must find the same stamp there.
    """
    return in_milliseconds(datetime.now(UTC))


def in_milliseconds(now: datetime) -> datetime:
    """Return a time in UTC as :func:`utc_now` does: without a zone, truncated to milliseconds."""
    return now.replace(tzinfo=None, microsecond=now.microsecond // 1000 * 1000)
