"""All causes by name: what each means and what mends it; and a finding, one cause shown by the evidence.

Needs no torch. The same names stand in a run's record, in `trainlab explain`, in `trainlab preflight`, in
what `trainlab.check`, `check_data` and `watch` find in a loop of one's own, and in the table of runs that the
forecast was fitted on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainlab.diagnosis.cause import Cause
from trainlab.diagnosis.data_causes import DATA_CAUSES
from trainlab.diagnosis.loop_causes import LOOP_CAUSES
from trainlab.diagnosis.run_causes import RUN_CAUSES
from trainlab.errors import unknown_name

CAUSES = {**RUN_CAUSES, **LOOP_CAUSES, **DATA_CAUSES}
"""All causes by name."""


def find_cause(name: str) -> Cause:
    """The cause of this name. Raises RequestError with the closest one."""
    if name not in CAUSES:
        raise unknown_name("cause", name, list(CAUSES))
    return CAUSES[name]


@dataclass(frozen=True)
class Finding:
    """A cause that the evidence shows. `description` is the evidence in words, `numbers` by quantity.

    `since_step` is the first measured step from which on it holds to the end; None where it has no step.
    `code` is the PyTorch code that mends it here, where it can be said better than the cause's own.
    """

    cause: str
    description: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    layer: str | None = None
    since_step: int | None = None
    code: str | None = None

    @property
    def remedy_code(self) -> str:
        """PyTorch code that mends it: the finding's own, or the cause's."""
        return self.code or find_cause(self.cause).code
