"""Commands over settings (`anatomy`, `preflight`, `lr-range`): their help, and what is wrong with a flag."""

from typer.core import TyperCommand

from trainlab.cli.command_app import Context, HelpFormatter, UsageError

SETTINGS = """\
Axes (trainlab options AXIS lists what there is):
{axes}
Values: seed depth width group checkpoint signals resume early_stop
        optimizer.lr .momentum .weight_decay
        data.batch_size .train_size .val_size .test_size .image_size .num_classes .label_noise
            .permute_pixels
        trainer.max_epochs .max_steps .devices .threads .precision .gradient_clip .cuda_graph .tf32
        paths.data .cache .runs
"""
SWEEP_SETTINGS = """\
Sweeps: sweep.plan_only .retry_failed .rerun .run_timeout
        sweep.prune=preflight|early .audit=SHARE (of the pruned, trained all the same)
        sweep.stack=auto|off|N (runs of one structure trained as one network; auto: on a GPU)
        hydra.launcher.slots .threads .runs_per_gpu
"""


class SettingsCommand(TyperCommand):
    """A command over settings: its help lists them, and an unknown flag is explained as a setting."""

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """The settings, as `trainlab train --help` lists them."""
        formatter.write("\n" + settings_help(with_sweeps=ctx.info_name == "preflight"))


def settings_help(with_sweeps: bool = True) -> str:
    """The settings, for the help of a command."""
    from trainlab.config.options import AXIS_DESCRIPTIONS

    axes = "".join(f"  {axis + '=':<16} {line}\n" for axis, line in AXIS_DESCRIPTIONS.items())
    return SETTINGS.format(axes=axes) + (SWEEP_SETTINGS if with_sweeps else "")


def explain_usage_error(error: UsageError) -> str:
    """The error's message; for `trainlab anatomy --depth 8` also how the setting is written."""
    message = error.format_message()
    option = getattr(error, "option_name", None)
    if option is None or error.ctx is None or not isinstance(error.ctx.command, SettingsCommand):
        return message
    from trainlab.config.overrides import flag_as_setting

    return f"{message}; settings are written name=value: {flag_as_setting(option)}"
