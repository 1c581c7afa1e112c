"""The process of one item: forked from a server that has imported torch, or `python -m …` of its own.

On some machines starting Python and importing torch takes half a minute: what can do without does.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.gpu.lab import Lab
from benchmarks.gpu.outcome import Outcome, Skipped


def serve(request_file: str, log: str, environment: dict[str, str], sentinel: Connection) -> None:
    """The same in a process that is forked from the server; `sentinel` is only kept open."""
    os.setsid()
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    main(request_file)


def main(request_file: str) -> None:
    """Does the item of the request and writes its outcome, also while it goes on; ends the process."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    lab = Lab(
        device=request["device"],
        folder=Path(request["folder"]),
        cache=Path(request["cache"]),
        data=Path(request["data"]),
        answer=Path(request["answer"]),
        deadline=time.monotonic() + request["seconds"],
        outcome=Outcome(request["name"], request["question"]),
        is_timed=request["is_timed"],
    )
    do_item(lab, request["function"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # what a library still wants to do at its end is no part of the item


def do_item(lab: Lab, function: str) -> None:
    """Calls `module:name` with the lab, and judges what came of it."""
    module, _, name = function.partition(":")
    outcome = lab.outcome
    try:
        item: Callable[[Lab], None] = getattr(import_module(module), name)
        item(lab)
        outcome.judge()
    except Skipped as reason:
        outcome.status, outcome.error = "skipped", str(reason)
    except Exception:
        outcome.status, outcome.error = "FAILED", traceback.format_exc()
    lab.save()


if __name__ == "__main__":
    main(sys.argv[1])
