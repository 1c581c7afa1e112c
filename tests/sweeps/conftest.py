"""The warm server of these tests imports the fakes: it is one for the whole process."""

import os
from pathlib import Path

# before Python 3.12 a forkserver does not take over sys.path
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
