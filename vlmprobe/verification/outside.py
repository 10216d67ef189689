"""Finds what a home says of places outside of it, as that of its original after it was copied, and brings it home."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from vlmprobe.errors import TrackingError
from vlmprobe.paths import can_write
from vlmprobe.store.artifacts import artifact_here, is_copy, set_place
from vlmprobe.store.relative_paths import shard_place
from vlmprobe.verification.findings import REPAIR, Finding

if TYPE_CHECKING:
    from vlmprobe.store.artifacts import ShardPlace
    from vlmprobe.verification.findings import Verified
    from vlmprobe.workspace import Workspace

__all__ = ["bring_home", "check_mlflow"]


class _Found(Protocol):
    def __call__(self, where: object, problem: str, todo: str, *, repaired: bool = False) -> None:
        """Note a finding about a run."""


def bring_home(workspace: Workspace, place: ShardPlace, found: _Found, *, repair: bool) -> ShardPlace:
    """Check that a shard's row names files of this home; return the place where it is to be looked for.

    With ``repair``, the row names this home's own files instead, if they are what was written.
    """
    database, settings = workspace.database, workspace.settings
    if not database.places.holds_database:
        return place  # several homes may share it, and each has files of its own
    what = f"the row of shard {place.number}"
    home, before = place, place
    own = settings.home / shard_place(place.run_id, place.number)
    if not database.places.is_inside(place.path):
        if is_copy(place, own) or (place.artifact_uri is not None and not place.path.exists()):
            home = replace(home, path=own)
        elif place.path.exists():
            found(
                place.path, f"{what} names a file outside of the home", f"copy it to {own}, then run {REPAIR}"
            )
    # A store elsewhere says where its artifacts are, which may well be in the home that first used it.
    artifact = artifact_here(place, settings.artifacts) if workspace.tracker.is_in_home else None
    if artifact is not None:
        home = replace(home, artifact_uri=artifact.as_uri())
    if home == before:
        return place
    if repair:
        with database.transaction() as connection:
            set_place(connection, home)
    outside = place.path if home.path != place.path else place.artifact_uri
    found(
        outside,
        f"{what} leads out of the home, which has this file itself",
        "it names the home's own file now" if repair else f"run {REPAIR} to let it name the home's own file",
        repaired=repair,
    )
    return home


def check_mlflow(workspace: Workspace, verified: Verified) -> None:
    """Let the addresses in the home's own MLflow store lead into the home, as every command that logs does.

    A copy of a home is no damaged home, so this is said and is no finding. A store that cannot be read or written is.
    """
    tracker = workspace.tracker
    try:
        former = tracker.former_artifacts()
        if former and can_write(workspace.settings.home) and not tracker.is_read_only:
            tracker.mend()
            return
    except TrackingError as error:
        verified.findings.append(Finding(tracker.address, str(error), "check the file and its permissions"))
        return
    if former:
        places = ", ".join(str(folder.parent) for folder in former)
        workspace.console.say(
            f"MLflow's artifact addresses lead to {places}, where this home was; they cannot be changed in a read-only "
            "home, and vlmprobe reads the home's own files"
        )
