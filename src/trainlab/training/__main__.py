"""`python -m trainlab.training config.yaml`: one run, from its frozen settings alone."""

import sys

from trainlab import project
from trainlab.training.worker import run_config_file

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m trainlab.training config.yaml")
    project.add_to_path()
    sys.exit(run_config_file(sys.argv[1]))
