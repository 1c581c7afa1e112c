"""What the fork server has imported before the first run is forked from it. Only imported there.

No torch operation may run in the server: thread pools do not survive a fork.
"""

import multiprocessing
import signal
from importlib import import_module

if multiprocessing.parent_process() is None:
    # Ctrl-C reaches the whole group of the terminal; what becomes of the runs is the sweep's to decide
    signal.signal(signal.SIGINT, signal.SIG_IGN)

# By name: everything else in this package does without them
for _name in ("torch", "torchvision", "lightning", "torchmetrics", "trainlab.training.worker"):
    import_module(_name)
