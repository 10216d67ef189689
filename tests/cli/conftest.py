"""Starts the study that some of these tests read."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _study_is_made_meanwhile(early_study: None) -> None:
    pass
