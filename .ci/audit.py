"""Ask pip-audit whether a pinned version has a known vulnerability.

    python .ci/audit.py        what 'make audit', and with it 'make lint', runs

Exit code 1 where one has. Where the index cannot be asked (no network, or a mirror without advisories) nothing is
known: that is one line and exit code 0, since a check that fails without a network would be switched off.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

__all__ = ["verdict"]

_CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
_PATIENCE_S = 180


def verdict(answer: str, said: str) -> tuple[int, str]:
    """Return exit code and lines to print for what pip-audit wrote to stdout and to stderr."""
    try:
        asked = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (said.strip().splitlines() or ["no answer"])[-1][:200]
        return 0, f"audit: the index cannot be asked, so no version was checked ({last})"
    unknown = [each["name"] for each in asked if "skip_reason" in each]
    found = [
        f"audit: {each['name']} {each['version']}: {flaw['id']}, "
        f"mended in {', '.join(flaw['fix_versions']) or 'none yet'}"
        for each in asked
        for flaw in each.get("vulns", ())
    ]
    if found:
        return 1, "\n".join(found)
    if len(unknown) == len(asked):
        return 0, f"audit: the index knows none of the {len(asked)} pinned versions, so none was checked"
    unchecked = f"; not known to it: {', '.join(unknown)}" if unknown else ""
    return 0, f"audit: no known vulnerability in {len(asked) - len(unknown)} pinned versions{unchecked}"


def main() -> int:
    """Ask, and print the verdict."""
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, "--format", "json", "--requirement", str(_CONSTRAINTS)],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        code, lines = verdict(done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        code, lines = verdict("", f"no answer within {_PATIENCE_S} s")
    print(lines)
    return code


if __name__ == "__main__":
    sys.exit(main())
