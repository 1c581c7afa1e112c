"""Settings become objects, in one place and by one policy.

- `trust`: the user's own settings (`Own`) and everybody else's, and how the difference reaches a worker
- `policy`: what settings of others may name, part by part
- `objects`: the one `build`
"""

from trainlab.build import policy
from trainlab.build.objects import build, check, check_bounded, reason
from trainlab.build.policy import allowing
from trainlab.build.trust import Own, own, places, plain

__all__ = ["Own", "allowing", "build", "check", "check_bounded", "own", "places", "plain", "policy", "reason"]
