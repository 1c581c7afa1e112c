"""Which colour a curve has: bound to its runs, so that it stays when others come, go, or change places."""

from collections.abc import Mapping, Sequence

from trainlab.figures.style import COLOURS


def slots(
    groups: Mapping[str, Sequence[str]], held: Mapping[str, int], count: int = len(COLOURS)
) -> dict[str, int]:
    """A number from 0 to `count` - 1 for each group of runs, no two alike up to `count` groups.

    groups: run ids by the name of their group. held: the number that a run's group had last. A group keeps
    it; a new one has the number that its name makes, so that two people see the same, or the next free one.
    """
    found: dict[str, int] = {}
    for name, run_ids in groups.items():
        before = next((held[run_id] for run_id in run_ids if run_id in held), None)
        if before is not None and before not in found.values():
            found[name] = before
    for name in sorted(groups):
        if name not in found:
            found[name] = _free(_own(name, count), set(found.values()), count)
    return {name: found[name] for name in groups}


def _own(name: str, count: int) -> int:
    return sum(name.encode()) % count


def _free(wanted: int, taken: set[int], count: int) -> int:
    return next(((wanted + i) % count for i in range(count) if (wanted + i) % count not in taken), wanted)
