"""What a sweep prints at its end."""

from rich.console import Console

from trainlab.sweeps import summary
from trainlab.sweeps.outcome import Outcome


def test_each_warning_is_said_once_with_the_number_of_its_runs():
    away, other = "W&B cannot be reached [x]", "resume: begin anew"
    outcomes = [Outcome(str(i), "", "finished", warnings=(away,)) for i in range(3)]
    outcomes += [Outcome("a", "", "finished", warnings=(away, other))]
    outcomes += [Outcome("b", "", "finished", warnings=("said before",), reused=True)]
    console = Console(width=200, force_terminal=False)
    with console.capture() as captured:
        summary._print_warnings(outcomes, console)
    assert captured.get().splitlines() == [f"warning: {away} (4 runs)", f"warning: {other}"]
