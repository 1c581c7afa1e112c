"""All items of the kit: first those that may run side by side, then those whose time is measured."""

from dataclasses import dataclass

_HERE = "benchmarks.gpu"


@dataclass(frozen=True)
class Item:
    """One item: `function` is `module:name`, called with its lab in a process of its own.

    seconds: after so many its process is killed. least: it is not begun with less time than this.
    is_timed: nothing else runs beside it, once it has said that it is prepared (`Lab.wait_until_alone`).
    is_forked: its process has torch imported; else it only starts commands, and needs no torch itself.
    """

    name: str
    question: str
    function: str
    seconds: float = 100.0
    least: float = 20.0
    is_timed: bool = False
    is_forked: bool = True


def _checked(name: str, question: str, function: str, seconds: float = 100, is_forked: bool = True) -> Item:
    return Item(name, question, f"{_HERE}.{function}", seconds, is_forked=is_forked)


def _timed(name: str, question: str, function: str, seconds: float, least: float) -> Item:
    return Item(name, question, f"{_HERE}.{function}", seconds, least, is_timed=True)


ITEMS = (
    # commands of their own, which take their time to start
    _checked("run", "does a run on this device learn, and say on what it ran", "single_runs:run", 100, False),
    _checked("runs_per_gpu", "do four runs at a time on one card have the numbers of each alone",
             "several_at_once:runs_per_gpu", 120),
    _checked("out of memory", "does one run without memory leave the others alone, and say so",
             "several_at_once:out_of_memory", 100, False),
    _checked("stack = single", "do runs in a stack have the numbers of the same runs alone",
             "stacks:stack_equals_single", 140, False),
    _checked("stack: memory", "does a stack that does not fit halve itself, and say so",
             "stacks:stack_memory", 140, False),
    _checked("Ray", "do runs share a GPU under Ray", "several_at_once:ray", 140, False),
    # runs in the item's own process
    _checked("stack: neighbour", "does a diverging neighbour change nothing", "stacks:stack_neighbour"),
    _checked("CPU = GPU", "is a run the same on the processor, within noise", "single_runs:cpu_and_gpu"),
    _checked("resume", "does a stopped run go on to the numbers of another", "interruptions:resume"),
    _checked("repeat", "is the same run the same twice, to the bit", "same_numbers:repeat"),
    _checked("signals", "is the loss the same with signals on and off, to the bit", "same_numbers:signals"),
    _checked("CUDA graph", "are losses the same with a CUDA graph and without", "same_numbers:cuda_graph"),
    _checked("mixed precision", "do bf16-mixed and 16-mixed learn", "single_runs:mixed_precision"),
    _checked("TF32", "what TF32 changes, and that it is stated", "same_numbers:tf32"),
    _checked("channels_last", "do weights and activations lie as N, H, W, C", "single_runs:channels_last"),
    _checked("DDP on one device", "is a run under DDP on one device the same run", "several_at_once:ddp_one"),
    _checked("DDP on all devices", "does a run over all devices have the first loss of one",
             "several_at_once:ddp_all", 140, False),
    # what is measured, the most valuable first
    _timed("card", "which card, which versions, how fast is it by itself", "card:card", 30, 5),
    _timed("networks/s", "networks trained per second, by their steps: graphs, processes, stacks",
           "networks_per_second:networks_per_second", 150, 30),
    _timed("samples/s", "samples per second of one run, against loops by hand and DataLoader + Lightning",
           "samples_per_second:samples_per_second", 95, 20),
    _timed("step and memory", "the step's share of the card's matrix-product rate, memory per run",
           "step_share:step_share", 40, 10),
    _timed("sweeps", "seconds per network of whole sweeps, from the command to the table",
           "sweeps_per_second:sweeps_per_second", 140, 25),
)  # fmt: skip
