"""On a command's PYTHONPATH: its clock is off by the seconds that a file says, which may change while it runs."""

from __future__ import annotations

import datetime as dt
import os
import time as _time
from pathlib import Path

_FILE = Path(os.environ["SHIFTED_CLOCK"])
_time_of_day, _time_of_day_ns, _Datetime = _time.time, _time.time_ns, dt.datetime


def _shift() -> int:
    try:
        return int(_FILE.read_text())
    except (OSError, ValueError):  # between being emptied and being written
        return 0


def _shifted() -> float:
    return _time_of_day() + _shift()


def _shifted_ns() -> int:
    return _time_of_day_ns() + _shift() * 10**9


class _ShiftedDatetime(_Datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> _ShiftedDatetime:
        return cls.fromtimestamp(_shifted(), tz)


_time.time, _time.time_ns = _shifted, _shifted_ns
dt.datetime = _ShiftedDatetime  # type: ignore[misc]
