"""The user's project: the folder with `conf/`, whose modules the options there name."""

import os
import sys
from pathlib import Path

PROJECT_VARIABLE = "TRAINLAB_PROJECT"
"""Environment of workers: where the project lies, whatever folder they were started in."""


def add_to_path() -> None:
    """Makes the project's modules importable, here and in the processes that this one starts.

    At the end of the path: a file of the project that is called like a package hides none. Nothing where the
    folder that commands are given in has no `conf/`, and is no project.
    """
    folder = str(Path.cwd()) if Path("conf").is_dir() else os.environ.get(PROJECT_VARIABLE)
    if folder is None:
        return
    os.environ[PROJECT_VARIABLE] = folder
    if folder not in sys.path:
        sys.path.append(folder)
