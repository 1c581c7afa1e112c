"""A loop that is being watched: what was measured, what was told, what is recorded, what is wrong."""

import atexit
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from torch import nn
from torch.optim import Optimizer

from trainlab.diagnosis import verdict
from trainlab.diagnosis.causes.labels_and_splits import FEWEST_STEPS_PROBED
from trainlab.diagnosis.causes.step_size import diverged
from trainlab.diagnosis.evidence import (
    Evidence,
    RecordedSignals,
    SettingsSummary,
    SignalRow,
    SignalTable,
    add_signals,
)
from trainlab.diagnosis.explain import Diagnosis, diagnose, find_remedies
from trainlab.diagnosis.known_causes import Finding
from trainlab.diagnosis.presentation import describe_finding
from trainlab.doctor.label_sample import LabelSample
from trainlab.doctor.layer_names import describe_layer
from trainlab.doctor.loop_diagnosis import (
    SureFindings,
    find_causes,
    lagging_statistics,
    missing_steps,
)
from trainlab.doctor.loop_settings import loop_settings
from trainlab.doctor.loop_watcher import LoopWatcher
from trainlab.doctor.measurement_plan import MeasurementPlan
from trainlab.doctor.report import CheckReport
from trainlab.doctor.subjects import release
from trainlab.doctor.watch_record import WatchRecord, new_run_id
from trainlab.doctor.watched_step import StepFacts
from trainlab.errors import sanitize
from trainlab.json_types import JsonObject
from trainlab.nn.layers import weight_layers
from trainlab.runs import Verdict
from trainlab.signals.catalogue import NETWORK
from trainlab.signals.rows import Row

PROBE = ("probe_images", "probe_accuracy", "probe_permuted")
"""What is recorded once, at the end, of the images of all measured steps."""

OnFinding = Callable[[Finding], None]
"""Takes a finding when it has become sure."""


class TrainingWatch:
    """A loop that is being watched; made by `watch`. As a context manager it stops at the block's end."""

    def __init__(
        self,
        network: nn.Module,
        optimizers: Sequence[Optimizer],
        is_wanted: Callable[[str], bool],
        is_compiled: bool,
        plan: MeasurementPlan,
        *,
        runs: Path | str | None,
        name: str | None,
        steps: int | None,
        on_finding: OnFinding | None,
    ) -> None:
        self._network = weakref.ref(network)
        self._optimizers = [weakref.ref(optimizer) for optimizer in optimizers]
        self._plan, self._name, self._planned_steps, self._on_finding = plan, name, steps, on_finding
        self._parameters = sum(parameter.numel() for parameter in network.parameters())
        self._device = next(parameter.device.type for parameter in network.parameters())
        self._layer_count = sum(is_wanted(name or "network") for name, _ in weight_layers(network))
        self._unknown = _unknown_modules(network)
        self._table: SignalTable = {}
        self._unrecorded: list[SignalRow] = []
        self._labels, self._probed_images = LabelSample(), 0
        self._sure = SureFindings()
        self._notes: list[str] = []
        self._facts: StepFacts | None = None
        self._measured = 0
        self._settings = self._current_settings(run_id := new_run_id())
        self._record = None if runs is None else WatchRecord(runs, run_id, self._settings)
        self._watcher = LoopWatcher(
            network, optimizers, is_wanted, is_compiled, plan, self._on_step, self._on_end
        )
        atexit.register(_finish_at_exit, weakref.ref(self))

    # what the user asks

    def explain(self) -> CheckReport:
        """What is wrong so far, the likeliest cause first: with layer, numbers, since which step, remedy."""
        evidence = self._evidence(is_running=False)
        findings = tuple(map(self._with_described_layer, self._findings(evidence)))
        return CheckReport(findings, tuple(self._all_notes()), self._subject(evidence))

    def json(self) -> str:
        """`explain` as a JSON object."""
        return self.explain().json()

    def html(self) -> str:
        """`explain` as HTML."""
        return self.explain().html()

    def _repr_html_(self) -> str:
        return self.html()

    def __str__(self) -> str:
        return str(self.explain())

    @property
    def folder(self) -> Path | None:
        """The run folder, for `trainlab explain`; None where nothing is recorded."""
        return None if self._record is None else self._record.folder.path

    @property
    def overhead(self) -> float:
        """Share 0..1 of the loop's time that was spent on measuring, so far."""
        return self._plan.share

    @property
    def steps(self) -> int:
        """Steps that the loop has made."""
        return self._watcher.steps

    @property
    def losses(self) -> Mapping[int, float]:
        """The loss by step: what was propagated back for it."""
        self._watcher.losses.read()
        return self._watcher.losses.by_step

    @property
    def measured_steps(self) -> int:
        """How many of them were measured."""
        return self._measured

    @property
    def is_running(self) -> bool:
        """Whether it still watches."""
        return self._watcher.is_running

    def stop(self) -> None:
        """Ends the watch: no hook is left, and the run folder has its result. `explain` goes on working."""
        self._stop("finished")

    def __enter__(self) -> "TrainingWatch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        else:
            self.stop_because_of(error)

    def stop_because_of(self, error: BaseException) -> None:
        """Ends the watch of a loop that has raised: the run failed, or was interrupted by Ctrl-C."""
        is_interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        self._stop("interrupted" if is_interrupted else "failed", None if is_interrupted else error)

    def __del__(self) -> None:
        if hasattr(self, "_watcher"):
            self._stop("finished")

    # what the loop does

    def _on_step(self, step: int, facts: StepFacts, rows: list[Row]) -> None:
        self._facts, self._measured = facts, self._measured + 1
        self._add((step, *row) for row in rows)
        if facts.labelled is not None:
            self._labels.add(*facts.labelled)
        self._add((step, NETWORK, "learning_rate", rate) for step, rate in self._watcher.take_rates())
        self._record_new()
        for finding in self._sure.new(self._evidence(is_running=True)):
            self._tell(self._with_described_layer(finding))

    def _add(self, rows: Iterable[SignalRow]) -> None:
        new = list(rows)
        add_signals(self._table, new)
        self._unrecorded += new

    def _record_new(self) -> None:
        """What has been measured since the last time."""
        if self._record is not None:
            self._record.append(self._unrecorded, self._watcher.losses.take())
        self._unrecorded = []

    def _tell(self, finding: Finding) -> None:
        if self._on_finding is not None:
            self._on_finding(finding)
            return
        remedy = finding.remedy_code.splitlines()[0]
        _say(f"{describe_finding(finding)}: {finding.description}; remedy: {remedy}")

    def _on_end(self, reason: str) -> None:
        line = f"the watch has ended {reason}; the training goes on"
        self._notes.append(line)
        _say(line)
        self._stop("finished")

    # what is made of it

    def _evidence(self, *, is_running: bool) -> Evidence:
        losses = self._watcher.losses
        losses.read()
        setup = SettingsSummary.from_record(self._settings)
        if not is_running or self._watcher.steps >= FEWEST_STEPS_PROBED:
            self._probe_labels()
        if not is_running:
            rates = self._watcher.take_rates(last=True)
            self._add((step, NETWORK, "learning_rate", rate) for step, rate in rates)
        return Evidence(RecordedSignals(self._table), losses.by_step, setup=setup, is_running=is_running)

    def _probe_labels(self) -> None:
        """What the images that were put aside say of their labels, in the place of what fewer said."""
        if len(self._labels) == self._probed_images:
            return
        self._probed_images = len(self._labels)
        step = max(0, self._watcher.steps - 1)
        for name, value in self._labels.probe().items():
            self._table.setdefault(NETWORK, {})[name] = {step: value}

    def _with_described_layer(self, finding: Finding) -> Finding:
        """As `check` names layers, as long as the network is there; the record keeps the name alone."""
        network = self._network()
        layer = None if network is None else dict(network.named_modules()).get(finding.layer or "")
        if layer is None or finding.layer is None:
            return finding
        return replace(finding, layer=describe_layer(finding.layer, layer))

    def _diagnosis(self, evidence: Evidence) -> Diagnosis:
        diagnosis = diagnose(evidence)
        findings = self._findings(evidence)
        return Diagnosis(
            diagnosis.learned, findings, diagnosis.numbers, find_remedies(findings, evidence), diagnosis.level
        )

    def _findings(self, evidence: Evidence) -> list[Finding]:
        watcher = self._watcher
        findings = find_causes(evidence)
        missing = missing_steps(watcher.steps, watcher.backward_passes, watcher.passes_since_step)
        network = self._network()
        lagging = None if network is None else lagging_statistics(network, watcher.steps)
        return [*([missing] if missing else []), *findings, *([lagging] if lagging else [])]

    def _subject(self, evidence: Evidence) -> str:
        steps, losses = self._watcher.steps, evidence.losses
        loss = f", loss {evidence.final_loss():.4g}" if losses else ""
        network = self._settings["axes"]["model"]  # type: ignore[index]
        return f"{network} after {steps:,} steps{loss}" if steps else f"{network}, no step seen yet"

    def _all_notes(self) -> list[str]:
        notes = list(self._notes)
        if not self._watcher.steps:
            notes.append(
                f"no step of the optimizer was seen, {self._watcher.backward_passes} backward passes"
            )
        if self._watcher.is_compiled:
            notes.append(
                "the network runs compiled: weights and gradients are measured, the signal is not seen"
            )
        if self._facts is not None:
            notes += self._notes_on_measurement(self._facts)
        if self.folder is not None:
            notes.append(f"recorded: trainlab explain {_from_here(self.folder)}")
        return notes

    def _notes_on_measurement(self, facts: StepFacts) -> list[str]:
        skipped = self._layer_count - facts.captured
        notes = [
            f"measured {self._measured} of {self._watcher.steps:,} steps, {facts.captured} weight layers, at "
            f"{self.overhead:.1%} of the time"
        ]
        if skipped > 0:
            notes.append(f"{skipped} weight layers were not called in the measured steps")
        if self._unknown:
            notes.append(f"skipped modules of an unknown kind: {self._unknown}")
        if not facts.loss.is_cross_entropy:
            notes.append(
                f"the loss is {facts.loss.kind or 'of an unknown kind'}, and no cross-entropy of classes: "
                "what outputs and labels mean is not looked at"
            )
        return notes

    def _current_settings(self, run_id: str) -> JsonObject:
        network = self._network()
        optimizers = [one for ref in self._optimizers if (one := ref()) is not None]
        if network is None or not optimizers:
            return self._settings
        batch = None if self._facts is None else self._facts.batch_size
        return loop_settings(network, optimizers, run_id, self._name, self._planned_steps, batch)

    def _stop(self, status: str, error: BaseException | None = None) -> None:
        network = self._network()
        if network is not None:
            release(network)
        self._watcher.stop()
        if self._record is None or not self._record.is_open:
            return
        evidence = self._evidence(is_running=False)
        found = diverged(evidence)
        if status == "finished" and found is not None:
            status = "diverged"
        self._record.write_settings(self._current_settings(str(self._settings["run_id"])))
        probed = [(name, series) for name, series in self._table.get(NETWORK, {}).items() if name in PROBE]
        self._unrecorded += [
            (s, NETWORK, name, value) for name, series in probed for s, value in series.items()
        ]
        self._record_new()
        self._record.finish(
            status,
            self._verdict(evidence, status),
            steps=self._watcher.steps,
            parameters=self._parameters,
            metrics={"train/loss": evidence.final_loss()} if evidence.losses else {},
            error=error,
            diverged_step=found.since_step if found is not None and status == "diverged" else None,
            warnings=self._notes,
            device=self._device,
        )

    def _verdict(self, evidence: Evidence, status: str) -> Verdict:
        if status not in ("finished", "diverged"):
            return Verdict(version=verdict.RULES_VERSION)
        return self._diagnosis(evidence).to_verdict()


def _unknown_modules(network: nn.Module) -> str:
    """Classes of modules with weights of their own that are neither weight layers nor norms, with counts."""
    known = {layer for _, layer in weight_layers(network)}
    kinds: dict[str, int] = {}
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if module not in known and any(parameter.dim() > 1 for parameter in own):
            kinds[type(module).__name__] = kinds.get(type(module).__name__, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in kinds.items())


def _from_here(path: Path) -> Path:
    """As it is called from the present folder, if it lies in it."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, OSError):
        return path


def _finish_at_exit(ref: "weakref.ref[TrainingWatch]") -> None:
    """The process ends: by itself, or by an error that nobody caught."""
    watch = ref()
    if watch is None:
        return
    error = getattr(sys, "last_value", None)
    if isinstance(error, BaseException):
        watch.stop_because_of(error)
    else:
        watch.stop()


def _say(line: str) -> None:
    print(sanitize(f"trainlab: {line}"), file=sys.stderr, flush=True)
