"""Verify: checks shards, their rows, the spool, metrics and the database, and repairs what it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.store.checks import is_of_kept_rows, run_checks
from vlmprobe.store.listed_runs import list_runs
from vlmprobe.store.verification import runs_with_old_intervals, spooled
from vlmprobe.verification.findings import Finding, Verified
from vlmprobe.verification.one_run import OneRun
from vlmprobe.verification.outside import check_mlflow

if TYPE_CHECKING:
    from vlmprobe.settings import Settings
    from vlmprobe.workspace import Workspace

__all__ = ["Finding", "Verified", "verify"]


def verify(workspace: Workspace, *, repair: bool = False) -> Verified:
    """Verify every run, then run the checks; with ``repair``, fix what can be fixed.

    The spool of a run that a process is working on is skipped: shards without rows may be about to get them.

    Raises:
        DatabaseError: there is no database, or it is not current.
        ReadOnlyError: it is to repair a home that cannot be written.
    """
    if repair:
        workspace.require_writable()
    settings, database = workspace.settings, workspace.database
    verified = Verified()
    check_mlflow(workspace, verified)
    with database.transaction(write=False) as connection:
        run_ids = [run.run_id for run in list_runs(connection, controls=True)]
        n_old = runs_with_old_intervals(connection)
    for run_id in run_ids:
        try:
            one = OneRun(workspace, verified, run_id, repair=repair)
        except UsageError as error:
            todo = "the run was left unchanged; restore the database from a trusted backup"
            verified.findings.append(Finding(database.name, str(error), todo))
            continue
        one.check()
    verified.runs = len(run_ids)
    if n_old:
        problem = f"{n_old} runs hold intervals or p-values of an earlier version, of which some do not cover"
        todo = "run 'vlmprobe analyze' to compute them again"
        verified.findings.append(Finding(database.name, problem, todo))
    _find_unknown_folders(settings, set(run_ids), verified)
    with database.transaction(write=False) as connection:
        results = run_checks(connection)
    for result in results:
        verified.checks += 1
        # Those are named with their runs above.
        if result.rows and not is_of_kept_rows(result.check):
            verified.findings.append(
                Finding(
                    result.check,
                    f"{result.rows} rows violate it ({result.example})",
                    f"'vlmprobe query {result.check}' lists them; restore a backup if you have one",
                )
            )
    return verified


def _find_unknown_folders(settings: Settings, known: set[str], verified: Verified) -> None:
    """Find spool folders of runs that the database lacks, for example after an older one was restored."""
    if not settings.spool.is_dir():
        return
    for folder in sorted(settings.spool.iterdir()):
        if folder.name not in known and (shards := spooled(folder)):
            verified.findings.append(
                Finding(
                    str(folder),
                    f"{len(shards)} shards of a run that the database does not have",
                    "restore the database that has the run, or delete the folder",
                )
            )
