"""All that is measured: a name, and the function that measures it."""

from collections.abc import Callable, Sequence
from importlib import import_module

from benchmarks.measure import Measure, Skipped
from benchmarks.workspace import Workspace

FAMILIES = {
    "throughput": "one run of LeNet-5 against a loop by hand, and against DataLoader and Lightning",
    "layout": "plain_cnn against a loop by hand in torch's default memory layout, one and two threads",
    "signals": "what measuring inside a network costs, at the default schedule",
    "grid": "16 runs from the command to the table, against one after the other",
    "start": "from a free warm slot to a run's first step",
    "planning": "1,000 finished settings; a plan of 10,000",
    "memory": "the images in the memory of several slots",
    "front_door": "--help",
    "utilization": "each architecture's share of the matrix-product rate",
    "overhead": "what a run costs beyond training",
    "app": "the first view of the web app, on the demo and on 10,000 runs",
    "bare_page": "the app's first view against the least page that Streamlit can have",
}


def measure(name: str, workspace: Workspace) -> Sequence[Measure]:
    """The figures of a family; one that says why where it cannot be taken here."""
    family: Callable[[Workspace], Sequence[Measure]] = import_module(f"benchmarks.{name}").measure
    try:
        return family(workspace)
    except Skipped as reason:
        return [Measure(name=name, question=FAMILIES[name], unit="", skipped=str(reason))]
