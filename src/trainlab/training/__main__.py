"""`python -m trainlab.training config.yaml`: one run, from its frozen settings alone."""

import sys

from trainlab import project
from trainlab.training.worker import work

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m trainlab.training config.yaml")
    project.put_on_path()
    sys.exit(work(sys.argv[1]))
