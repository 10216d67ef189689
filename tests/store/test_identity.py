"""Run ids, run keys and the time."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

import pytest

from vlmprobe.store import identity
from vlmprobe.store.identity import new_run_id, run_key, utc_now

from .conftest import next_millisecond


def test_a_run_id_is_a_uuid_of_version_7(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9562: 48 bits of milliseconds, version 7, variant 10, whatever the random bits are."""
    for bits in (0, 2**80 - 1):
        monkeypatch.setattr(identity.secrets, "randbits", lambda _, bits=bits: bits)
        before = time.time_ns() // 1_000_000
        value = uuid.UUID(new_run_id())
        assert value.version == 7
        assert value.variant == uuid.RFC_4122
        assert before <= value.int >> 80 <= time.time_ns() // 1_000_000


def test_run_ids_sort_by_time() -> None:
    """As text, so also in SQL."""
    made = []
    for _ in range(5):
        made.append(new_run_id())
        next_millisecond()
    assert made == sorted(made)
    assert len({new_run_id() for _ in range(1000)}) == 1000


def test_the_run_key_does_not_depend_on_order() -> None:
    """The same facts in another order are the same run; any other value is another."""
    key = run_key({"family": "tiny", "layers": [0, 5], "processor": None})
    assert run_key({"processor": None, "layers": [0, 5], "family": "tiny"}) == key
    assert len(key) == 64
    others = [{"family": "tiny", "layers": [5, 0], "processor": None}, {"family": "tiny", "layers": [0, 5]}]
    assert key not in map(run_key, others)


def test_a_run_key_takes_no_nan() -> None:
    """NaN differs from itself, so it cannot say that two runs are the same."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        run_key({"temperature": float("nan")})


def test_times_are_utc_in_whole_milliseconds() -> None:
    """MLflow keeps milliseconds: a replay must find the same stamp there."""
    now = utc_now()
    assert now.tzinfo is None
    assert now.microsecond % 1000 == 0
    assert abs((datetime.now(UTC).replace(tzinfo=None) - now).total_seconds()) < 5
