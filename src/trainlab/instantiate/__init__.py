"""Settings become objects, in one place and by one policy.

- `trust`: the user's own settings and everybody else's: how the difference reaches a worker
- `parts`: the parts of the settings, how each is called, what a stranger's settings may name in it
- `allowlist`: a stranger's name judged by the object that it leads to
- `nodes`: the one `instantiate`
- `renamed`: names in settings as first released, and where the object is now
"""

from trainlab.instantiate import allowlist
from trainlab.instantiate.allowlist import allowing
from trainlab.instantiate.nodes import check_bounded, check_node, instantiate, root_cause_message
from trainlab.instantiate.trust import resolve_paths, to_plain

__all__ = [
    "allowing",
    "allowlist",
    "check_bounded",
    "check_node",
    "instantiate",
    "resolve_paths",
    "root_cause_message",
    "to_plain",
]
