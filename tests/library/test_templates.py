"""Runs of one scale under several templates."""

from __future__ import annotations

from typing import Any

from vlmprobe import Workspace


def test_a_name_means_the_published_template_unless_it_says_another(panel: Any) -> None:
    """In the name, or as an argument."""
    workspace = Workspace.open(panel.home, progress=False)
    assert workspace.run("tiny/2m").template == "published"
    assert workspace.run("tiny @ 2m (yes-no)").template == "yes-no"
    assert workspace.run("tiny", "2m", template="yes-no").name == "tiny @ 2m (yes-no)"
    assert workspace.runs(scale="2m").num_rows == 3


def test_pairs_that_only_quads_need_come_last(panel: Any) -> None:
    """The first are those of the states, in the same order."""
    workspace = Workspace.open(panel.home, progress=False)
    pairs = workspace.pairs("tiny/2m").to_pandas()
    n_own = int((pairs.origin == "row").sum())
    assert set(pairs.origin[n_own:]) == {"quad"}
    assert list(pairs.pair_id[:n_own]) == list(workspace.states("tiny/2m", 0).pair_ids)
    partner = workspace.pair("tiny/2m", pairs.pair_id.iloc[-1])
    assert (
        partner.picture.tobytes()
        == workspace.pair("tiny/2m", partner.pair_id.split("/")[0]).picture.tobytes()
    )
