"""A user's own `./conf` precedes the package's on Hydra's search path."""

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.plugins.search_path_plugin import SearchPathPlugin

from trainlab.axes import AXIS
from trainlab.config.hydra_internals import register_axes
from trainlab.config.options import package_conf, user_conf
from trainlab.settings import NOT_IN_DEFAULTS

register_axes({axis: AXIS[axis].default for axis in NOT_IN_DEFAULTS})


class TrainlabSearchPath(SearchPathPlugin):
    """Puts `./conf` first when it exists and is not the package's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Other programs that use Hydra keep their search path."""
        of_package = (f"file://{package_conf()}", str(package_conf()))
        folder = user_conf()
        if folder and any(element.path in of_package for element in search_path.get_path()):
            search_path.prepend("trainlab-user", f"file://{folder}", SearchPathQuery(provider="main"))
