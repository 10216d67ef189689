"""What is checked about a loaded model before a run goes on with it, and what its reader is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.store.runs import Run

__all__ = ["check_same_model", "prompt_notes"]


def check_same_model(run: Run, manifest: Mapping[str, Any]) -> None:
    """Check that a run goes on with the weights and the attention that it began with.

    A fingerprint covers the files of a checkpoint, not what the installed packages make of them. Runs of versions that
    kept no account of the weights are compared by their attention alone.

    Raises:
        ModelError: something differs; the line says what.
    """
    before: Mapping[str, Any] = run.config.get("manifest") or {}
    old, new = before.get("weights"), manifest.get("weights")
    if old and new:
        differing = [key for key in old if key in new and old[key] != new[key]]
        if differing:
            key = differing[0]
            raise ModelError(
                f"{run.name}: run {run.run_id} began with other weights ({key}: {_short(old[key])}, now "
                f"{_short(new[key])}); restore them, or pass --new to start another run"
            )
    kernels = before.get("attention"), manifest.get("attention")
    if None not in kernels and kernels[0] != kernels[1]:
        raise ModelError(
            f"{run.name}: run {run.run_id} began with the attention {kernels[0]}, and would go on with {kernels[1]}, "
            "whose last bits differ; pass --new to start another run"
        )


def prompt_notes(prompt: Mapping[str, Any]) -> list[str]:
    """Return what the reader has to know about the prompts of a run.

    Args:
        prompt: the first one; see :meth:`Model.first_prompt`.
    """
    text = str(prompt.get("text", ""))
    if text.rfind("<think>") <= text.rfind("</think>"):
        return []
    return [
        "its prompts end inside an opened <think> block, so an answer begins with thoughts and ends before its result; "
        "pass --processor with a chat template that opens none"
    ]


def _short(value: object) -> str:
    return str(value)[:80]
