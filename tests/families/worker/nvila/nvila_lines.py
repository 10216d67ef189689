"""Load NVILA checkpoints one after the other; print what came of each: the notes of its run, or the fault.

    python nvila_lines.py CLONE_OF_VILA < FOLDERS

Run by the Python of NVILA's environment; a JSON object a line.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

WORKER = Path(__file__).parents[4] / "vlmprobe" / "families" / "worker"


def main() -> None:
    """Open each in the order of the worker's own loop."""
    sys.path.append(sys.argv[1])
    runpy.run_path(str(WORKER / "bootstrap.py"), run_name="bootstrap")["_make_importable"]()
    from vlmprobe.families.worker import LoadOptions
    from vlmprobe.families.worker.faults import Fault, of_checkpoint
    from vlmprobe.families.worker.nvila.family import Nvila

    for folder in sys.stdin.read().splitlines():
        options = LoadOptions(folder, device="cpu", trust_remote_code=True)
        try:
            with of_checkpoint(folder):
                model = Nvila.load(Nvila.resolve(options))
            print(json.dumps({"notes": model.info.manifest["notes"]}))
        except Fault as fault:
            print(json.dumps({"kind": fault.kind, "line": str(fault)}))


if __name__ == "__main__":
    main()
