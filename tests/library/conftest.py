"""The workspace of a finished study, as a script or a notebook opens it."""

from __future__ import annotations

from typing import Any

import pytest

from vlmprobe import Workspace

from ..postgres_server import named_by_environment


@pytest.fixture(scope="session")
def workspace(study: Any) -> Workspace:
    """Return a workspace with two scales of 96 pairs; tests read it and change nothing."""
    with named_by_environment(study.home):
        return Workspace.open(study.home, progress=False)
