"""Items for the tests of the kit's runner: none of them needs torch."""

import os
import subprocess
import sys
import time

from benchmarks.gpu.lab import Lab
from benchmarks.gpu.outcome import Skipped


def holds(lab: Lab) -> None:
    lab.check("one is one", 1 == 1, "1")
    lab.headline("it holds")


def does_not_hold(lab: Lab) -> None:
    lab.check("this holds", True, "yes")
    lab.check("one is two", 1 == 2, "1 and 2")


def raises(lab: Lab) -> None:
    raise ZeroDivisionError("no number")


def hangs(lab: Lab) -> None:
    """It has told something, and a child that has left its process group."""
    lab.figure("before it hung", 3.0, "s", at_least=5.0)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    (lab.folder.parent / "child.pid").write_text(str(child.pid))
    time.sleep(600)


def dies(lab: Lab) -> None:
    print("last words", flush=True)
    os._exit(3)


def is_skipped(lab: Lab) -> None:
    raise Skipped("there is nothing to do it with")


def is_alone(lab: Lab) -> None:
    """Notes when its time began and ended."""
    lab.wait_until_alone()
    began = time.time()
    time.sleep(0.4)
    lab.tell(began=began, ended=time.time(), seconds_left=lab.seconds_left)
    lab.figure("a second", 1.0, "s")
