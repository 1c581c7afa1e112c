"""`python train.py …` is `trainlab train …`; the story of a run is in src/trainlab/training/run.py."""

import sys

from trainlab.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
