"""The README's presets name the machine of their runs."""

from experiments.readme.measure import machine_of

from trainlab.runs import Result


def test_the_machine_is_that_of_the_records():
    """It was the machine that wrote the page."""
    records = [
        Result(run_id=name, status="finished", machine=machine, versions={"python": "3.11.7"})
        for name, machine in (
            ("a", {"processor": "One CPU", "cores": 2}),
            ("b", {"processor": "Other CPU", "cores": 2}),
            ("c", {}),
        )
    ]
    assert machine_of(records) == {
        "processor": "One CPU and Other CPU and not recorded",
        "cores": "2 and not recorded",
        "python": "3.11.7",
    }
