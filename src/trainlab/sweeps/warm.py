"""What the warm server has imported before the first run is forked from it. Only imported there.

No torch operation may run in the server: thread pools do not survive a fork.
"""

import multiprocessing
import signal

if multiprocessing.parent_process() is None:
    # Ctrl-C reaches the whole group of the terminal; what becomes of the runs is the sweep's to decide
    signal.signal(signal.SIGINT, signal.SIG_IGN)

import lightning
import torch
import torchmetrics
import torchvision

import trainlab.training.assemble
import trainlab.training.worker

__all__ = ["lightning", "torch", "torchmetrics", "torchvision", "trainlab"]
