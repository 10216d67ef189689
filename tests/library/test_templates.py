"""Runs of one scale under several templates."""

from __future__ import annotations

from typing import Any

import pytest

from vlmprobe import Workspace

from ..postgres_server import named_by_environment


@pytest.fixture
def workspace(panel: Any) -> Workspace:
    """Open the home of several templates."""
    with named_by_environment(panel.home):
        return Workspace.open(panel.home, progress=False)


def test_a_name_means_the_published_template_unless_it_says_another(workspace: Workspace) -> None:
    """In the name, or as an argument."""
    assert workspace.run("tiny/2m").template == "published"
    assert workspace.run("tiny @ 2m (yes-no)").template == "yes-no"
    assert workspace.run("tiny", "2m", template="yes-no").name == "tiny @ 2m (yes-no)"
    assert workspace.runs(scale="2m").num_rows == 3


def test_pairs_that_only_quads_need_come_last(workspace: Workspace) -> None:
    """The first are those of the states, in the same order."""
    pairs = workspace.pairs("tiny/2m").to_pandas()
    n_own = int((pairs.origin == "row").sum())
    assert set(pairs.origin[n_own:]) == {"quad"}
    assert list(pairs.pair_id[:n_own]) == list(workspace.states("tiny/2m", 0).pair_ids)
    partner = workspace.pair("tiny/2m", pairs.pair_id.iloc[-1])
    assert (
        partner.picture.tobytes()
        == workspace.pair("tiny/2m", partner.pair_id.split("/")[0]).picture.tobytes()
    )
