"""Verifies one run: its metrics, its spool, its shards with their rows, and whether MLflow has them."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from typing import TYPE_CHECKING

from vlmprobe.errors import (
    DamagedCopyError,
    ElsewhereError,
    LeaseHeldError,
    TrackingError,
    UnreadableError,
    VlmprobeError,
)
from vlmprobe.store.artifacts import is_of_this_host_alone, shard_places
from vlmprobe.store.checks import kept_rows_problems
from vlmprobe.store.committer import adopt_orphans
from vlmprobe.store.kept_rows import forget_rows, keep_rows
from vlmprobe.store.metrics import digest_matches
from vlmprobe.store.predictions import forget_shard, restore_rows
from vlmprobe.store.runs import get_run
from vlmprobe.store.shards import shard_name, shard_number
from vlmprobe.store.verification import count_unsynced, read_whole, row_problems, spooled, stray_shards
from vlmprobe.verification.findings import REPAIR, Finding
from vlmprobe.verification.outside import bring_home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vlmprobe.store.artifacts import ShardPlace
    from vlmprobe.store.shards import ShardFile
    from vlmprobe.verification.findings import Verified
    from vlmprobe.workspace import Workspace

__all__ = ["OneRun"]


class OneRun:
    """The verification of one run."""

    def __init__(self, workspace: Workspace, verified: Verified, run_id: str, *, repair: bool) -> None:
        self._workspace, self._database, self._console = workspace, workspace.database, workspace.console
        self._verified, self._repair = verified, repair
        self._spool = workspace.settings.spool_of(run_id)
        with self._database.transaction(write=False) as connection:
            self._run = get_run(connection, run_id)

    def check(self) -> None:
        """Verify the whole run."""
        # Listed before the rows are read: unless a process is at work, a shard without rows is an orphan.
        files = spooled(self._spool)
        self._check_metrics()
        with ExitStack() as stack:
            try:
                stack.enter_context(self._database.lease(self._run.run_key))
            except LeaseHeldError:
                self._console.say(f"{self._run.name}: being extracted; its spool is left unchanged")
                self._check_shards(repair=False)
                return
            if not self._repair:
                stack.close()  # do not block an extraction meanwhile
            self._check_spool(files)
            self._check_shards(repair=self._repair)
            self._check_kept_rows()
            self._check_delivery()

    def _found(self, where: object, problem: str, todo: str, *, repaired: bool = False) -> None:
        text = f"{self._run.name}: {problem}"
        self._verified.findings.append(Finding(str(where), text, todo, repaired))

    def _check_metrics(self) -> None:
        with self._database.transaction(write=False) as connection:
            if digest_matches(connection, self._run.run_id):
                return
        which = f"{shlex.quote(self._run.family)} --scale {shlex.quote(self._run.scale)}"
        first = (
            ""
            if self._run.status == "complete"
            else "complete the run with the same 'vlmprobe extract', then "
        )
        self._found(
            self._database.name,
            "its metrics differ from those that were computed",
            f"{first}run 'vlmprobe analyze {which}' to recompute them",
        )

    def _check_spool(self, files: list[Path]) -> None:
        with self._database.transaction(write=False) as connection:
            known = {place.number: place.path.name for place in shard_places(connection, self._run.run_id)}
        orphans = [path for path in files if path.suffix == ".partial" or not _is_known(path, known)]
        if not orphans:
            return
        problem = f"{len(orphans)} shards have no rows after a crash; the first is {orphans[0].name}"
        if not self._repair:
            self._found(
                self._spool,
                problem,
                f"run {REPAIR}, or rerun 'vlmprobe extract' for this run, to recover them",
            )
            return
        try:
            adopted = adopt_orphans(self._database, self._spool, self._run.run_id, warn=self._console.warn)
        except UnreadableError as error:
            self._found(self._spool, f"{problem}; {error}", f"run {REPAIR} again once it is readable")
            return
        self._found(
            self._spool, problem, f"{adopted} now have rows; incomplete ones were removed", repaired=True
        )

    def _check_shards(self, *, repair: bool) -> None:
        with self._database.transaction(write=False) as connection:
            places = shard_places(connection, self._run.run_id)
            strays = stray_shards(connection, self._run.run_id)
        elsewhere: dict[str, list[int]] = {}
        for place in places:
            self._verified.shards += 1
            try:
                self._check_shard(
                    bring_home(self._workspace, place, self._found, repair=repair), repair=repair
                )
            except ElsewhereError as error:
                elsewhere.setdefault(error.where, []).append(place.number)
        self._report_hosts(places, elsewhere)
        for number in strays:
            problem = f"answers refer to shard {number}, which has no row"
            self._lost(number, self._spool / shard_name(number), problem, repair=repair)

    def _report_hosts(self, places: Sequence[ShardPlace], elsewhere: Mapping[str, Sequence[int]]) -> None:
        """Name the hosts that alone can read shards: a problem on any other host, on their own only worth saying."""
        for where, numbers in elsewhere.items():
            self._found(
                f"shards {numbers[0]} to {numbers[-1]}",
                f"{len(numbers)} of {len(places)} shards are {where}, so this host cannot read them",
                "run 'vlmprobe verify' where they are; 'vlmprobe sync' there, with an MLflow server, lets every host "
                "read them",
            )
        here = [place for place in places if is_of_this_host_alone(place)]
        if here:
            self._console.say(
                f"{self._run.name}: {len(here)} of {len(places)} shards are on this host ({here[0].host}) alone; other "
                "hosts read them once an MLflow server has them ('vlmprobe sync')"
            )

    def _check_shard(self, place: ShardPlace, *, repair: bool) -> None:
        path = place.path
        try:
            shard = self._read(place)
        except ElsewhereError:
            raise
        except TrackingError as error:
            todo = "run 'vlmprobe verify' again once MLflow has the file, or 'vlmprobe extract --new' to start over"
            self._found(path, f"cannot be checked: {error}", todo)
            return
        except UnreadableError as error:
            # Nothing is discarded for a file that exists: the disk may be slow, a permission may be missing.
            self._found(path, f"cannot be checked: {error}", "check the disk and the file's permissions")
            return
        except VlmprobeError as error:
            self._damaged(place, path, str(error).removeprefix(f"{path}: "), repair=repair)
            return
        if shard.kind == "states" and self._is_extracted:
            self._check_rows(shard, path, repair=repair)

    def _read(self, place: ShardPlace) -> ShardFile:
        return read_whole(place, self._workspace.storage.fetch(place, check=False))

    @property
    def _is_extracted(self) -> bool:
        # A later import may add answers to an imported run.
        return self._run.provenance == "extracted"

    def _check_rows(self, shard: ShardFile, path: Path, *, repair: bool) -> None:
        with self._database.transaction() as connection:
            is_complete = self._run.status == "complete"
            problems = row_problems(connection, shard, is_complete=is_complete)
            if problems and repair:
                restore_rows(connection, shard, is_complete=is_complete)
        if problems:
            todo = (
                "its rows were rewritten from the file"
                if repair
                else f"run {REPAIR} to rewrite its rows from the file"
            )
            self._found(path, "; ".join(problems), todo, repaired=repair)

    def _damaged(self, place: ShardPlace, path: Path, problem: str, *, repair: bool) -> None:
        """Use MLflow's copy of a damaged shard; without one, its pairs must be inferred again."""
        if path.parent.is_dir() and not self._workspace.settings.is_spooled(path, self._run.run_id):
            where = f"but the file is not in {self._spool}, so it was not changed"
            self._found(
                path,
                f"{problem}, {where}",
                "run 'vlmprobe verify' with --home set to the file's own home, or copy the file from there",
            )
            return
        in_mlflow = place.artifact_uri is not None
        if not repair and in_mlflow and path.exists():
            self._found(path, problem, f"run {REPAIR} to restore it from MLflow")
            return
        if repair and in_mlflow and path.exists():
            aside = path.with_suffix(".damaged")
            path.replace(aside)
            try:
                shard = self._read(place)
            except DamagedCopyError:
                aside.replace(path)
            except TrackingError as error:
                aside.replace(path)
                self._found(path, f"{problem}; {error}", f"run {REPAIR} again once MLflow is back")
                return
            except VlmprobeError:
                aside.replace(path)
            else:
                self._found(
                    path,
                    problem,
                    f"restored from MLflow; the damaged file was renamed to {aside.name}",
                    repaired=True,
                )
                if self._is_extracted:
                    self._check_rows(shard, path, repair=repair)
                return
        self._lost(place.number, path, problem, repair=repair)

    def _lost(self, number: int, path: Path, problem: str, *, repair: bool) -> None:
        if not self._is_extracted:
            self._found(path, problem, "restore the file from a copy, or import the results into a new home")
            return
        if not path.parent.is_dir():
            self._found(
                path,
                problem,
                f"its folder is missing: restore it, or, if it is lost, create an empty one and run {REPAIR}",
            )
            return
        if not repair:
            self._found(
                path, problem, f"run {REPAIR}, then rerun the same 'vlmprobe extract' to redo its pairs"
            )
            return
        if path.exists():
            path.replace(path.with_suffix(".damaged"))
        with self._database.transaction() as connection:
            n_pairs = forget_shard(connection, self._run.run_id, number)
            self._run = get_run(connection, self._run.run_id)
        self._found(
            path,
            problem,
            f"its rows were removed; rerun the same 'vlmprobe extract' to redo its {n_pairs} pairs",
            repaired=True,
        )

    def _check_kept_rows(self) -> None:
        """Check the rows that views read instead of the answers; after the answers, which may have been repaired."""
        run_id = self._run.run_id
        with self._database.transaction(write=self._repair) as connection:
            problems = kept_rows_problems(connection, run_id)
            if problems and self._repair:
                forget_rows(connection, run_id)
                if self._run.status == "complete":
                    keep_rows(connection, run_id)
        if problems:
            kinds = ", ".join(problem.check.removeprefix("checks/") for problem in problems)
            todo = "they were made again" if self._repair else f"run {REPAIR} to make them again"
            problem = f"{kinds}: kept rows differ from its answers"
            self._found(self._database.name, problem, todo, repaired=self._repair)

    def _check_delivery(self) -> None:
        if self._run.status != "complete":
            return
        with self._database.transaction(write=False) as connection:
            n_shards, n_values = count_unsynced(connection, self._run.run_id)
        if not n_shards and not n_values:
            return
        where = self._workspace.tracker.address
        problem = f"{n_shards} shards and {n_values} values are not in MLflow yet"
        if not self._repair:
            self._found(where, problem, f"run 'vlmprobe sync' or {REPAIR} to deliver them")
            return
        try:
            delivery = self._workspace.deliver(self._run)
        except VlmprobeError:
            self._found(where, problem, "run 'vlmprobe sync' once its shards are restored")
            return
        done = delivery.problem is None
        self._found(
            where, problem, "delivered" if done else "run 'vlmprobe sync' once MLflow is back", repaired=done
        )


def _is_known(path: Path, known: Mapping[int, str]) -> bool:
    """Return whether a shard has a row; with a mark in its name, only if that is the row's."""
    number = shard_number(path)
    return number is not None and known.get(number) in {path.name, shard_name(number)}
