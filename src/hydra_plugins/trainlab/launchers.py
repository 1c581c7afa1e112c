"""`hydra/launcher=…`: where the runs of a sweep run. Each launcher names an engine of `trainlab.sweeps`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from trainlab.sweeps.engine import Engine


class _EngineLauncher(Launcher):
    """A launcher over an engine; the settings are its YAML's."""

    def __init__(self, **settings: object):
        # Hydra passes OmegaConf containers; the settings are plain values
        plain = OmegaConf.to_container(OmegaConf.create(settings), resolve=True)
        self.settings = cast("dict[str, object]", plain)
        self.engine: Engine | None = None
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Checks the settings. Raises RequestError, also where a package is missing."""
        self.hydra_context, self.config = hydra_context, config
        self.engine = self.make_engine(self.settings)

    def make_engine(self, settings: dict[str, object]) -> "Engine":
        """The engine with these settings."""
        raise NotImplementedError

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """For external sweepers (Optuna, basic): runs each job once, and returns its val/acc."""
        from trainlab.sweeps.external_hydra_plugins import launch_for_external_sweeper

        assert self.engine is not None and self.hydra_context is not None and self.config is not None
        return launch_for_external_sweeper(self.engine, self.hydra_context, self.config, job_overrides)


class LocalLauncher(_EngineLauncher):
    """Preloaded processes on this machine."""

    def make_engine(self, settings: dict[str, object]) -> "Engine":
        from trainlab.sweeps.local_engine import LocalEngine
        from trainlab.sweeps.slots import SlotSettings, validate_launcher_settings

        return LocalEngine(validate_launcher_settings(SlotSettings, settings))


class RayLauncher(_EngineLauncher):
    """Ray, here or on a cluster."""

    def make_engine(self, settings: dict[str, object]) -> "Engine":
        from trainlab.sweeps.ray_engine import RayEngine

        return RayEngine(settings)


class SlurmLauncher(_EngineLauncher):
    """SLURM by way of submitit."""

    def make_engine(self, settings: dict[str, object]) -> "Engine":
        from trainlab.sweeps.submitit_engine import SubmititEngine

        return SubmititEngine("slurm", settings)


class SubmititLocalLauncher(_EngineLauncher):
    """submitit's local executor."""

    def make_engine(self, settings: dict[str, object]) -> "Engine":
        from trainlab.sweeps.submitit_engine import SubmititEngine

        return SubmititEngine("local", settings)
