"""Follows a training loop by its backward passes and its optimizers' steps, and measures some of its steps.

Nothing of the loop is changed: hooks read. What goes wrong in here ends the watch and not the training.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from trainlab.doctor import backward_calls
from trainlab.doctor.loop_losses import LoopLosses
from trainlab.doctor.measurement_plan import WIRING_ONLY, MeasurementPlan
from trainlab.doctor.module_calls import FirstCall
from trainlab.doctor.watched_step import StepFacts, StepTrace, Watched, WatchedStep
from trainlab.errors import error_with_type
from trainlab.signals.capture import Inputs
from trainlab.signals.quantities import FlatTails
from trainlab.signals.rows import Row

Arguments = TypeVarTuple("Arguments")
Answer = TypeVar("Answer")


class LoopWatcher:
    """Calls `on_step(step, facts, rows)` after each measured step, and `on_end(reason)` once where the watch
    ends by itself. Network and optimizers are held weakly; the optimizers' hooks hold the watcher.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizers: Sequence[Optimizer],
        layers: Callable[[str], bool],
        is_compiled: bool,
        plan: MeasurementPlan,
        on_step: Callable[[int, StepFacts, list[Row]], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._network = weakref.ref(network)
        self._optimizers = [weakref.ref(optimizer) for optimizer in optimizers]
        self._layers, self.is_compiled, self._plan = layers, is_compiled, plan
        self._on_step, self._on_end = on_step, on_end
        self.losses = LoopLosses()
        self.steps = 0
        self.backward_passes = 0
        self.passes_since_step = 0
        self.is_running = True
        self._is_on_cuda = any(parameter.is_cuda for parameter in network.parameters())
        self._stepped: list[int] = []
        self._expected = len(optimizers)
        self._inside: Optimizer | None = None
        self.rates: list[tuple[int, float]] = []
        self._taken_rate = -1
        self.last_rate: tuple[int, float] | None = None
        self._trace: StepTrace | None = None
        self._measured: WatchedStep | None = None
        self._is_due = False
        self._first_call: FirstCall | None = None
        self._closure_calls = 0
        self._spent_before = 0.0
        self._tails: weakref.WeakKeyDictionary[nn.Module, FlatTails | None] = weakref.WeakKeyDictionary()
        self._handles: list[RemovableHandle] = []
        for optimizer in optimizers:
            self._handles += [
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(self._after_step),
            ]
        backward_calls.listen(self)
        self._begin_step()

    def stop(self) -> None:
        """Takes off all hooks; what was measured stays."""
        if not self.is_running:
            return
        self.is_running = False
        backward_calls.forget(self)
        while self._handles:
            self._handles.pop().remove()
        self._drop_measurement()
        self.losses.read()

    # what the loop does

    def before_backward(self, tensors: Sequence[Tensor]) -> None:
        """A backward pass of the process begins."""
        self._guarded(self._on_backward, tensors)

    def after_backward(self) -> None:
        """It is done."""
        if self._measured is not None:
            self._guarded(self._on_gradients)

    def _before_step(
        self, optimizer: Optimizer, arguments: tuple[object, ...], keywords: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]] | None:
        return self._guarded(self._on_optimizer, optimizer, arguments, keywords)

    def _after_step(self, optimizer: Optimizer, arguments: object, keywords: object) -> None:
        self._guarded(self._on_optimizer_done)

    # what is made of it

    def _on_backward(self, tensors: Sequence[Tensor]) -> None:
        if self._is_on_cuda and torch.cuda.is_current_stream_capturing():
            self._end("the loop is captured as a CUDA graph, whose steps cannot be seen")
            return
        if self._stepped and self._inside is None:  # fewer optimizers than there are belong to one step
            self._expected = len(self._stepped)
            self._end_step()
        self.backward_passes += 1
        self.passes_since_step += 1
        if self._is_later_call():
            return
        if self._is_due and (measured := self._measure_now()) is not None:
            measured.before_backward(tensors)
            self.losses.is_scaled = measured.loss.scale != 1
        self.losses.add(tensors)

    def _on_gradients(self) -> None:
        if self._measured is not None and not self._is_later_call():
            self._measured.after_backward()
            self.losses.reached(self._measured.reached_now)

    def _is_later_call(self) -> bool:
        """Whether the closure of this step was called before: its first call counts."""
        return self._inside is not None and self._closure_calls > 0

    def _on_optimizer(
        self, optimizer: Optimizer, arguments: tuple[object, ...], keywords: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]] | None:
        if id(optimizer) in self._stepped:
            self._end_step()
        self._stepped.append(id(optimizer))
        self._inside, self._closure_calls = optimizer, 0
        closure = self._closure(arguments, keywords)
        if len(self._stepped) == 1:
            rate = optimizer.param_groups[0].get("lr")
            if isinstance(rate, float | int) or self._is_due:  # a tensor is read in measured steps alone
                self._note_rate(rate)
        if closure is None:
            if self._is_due and (measured := self._measure_now()) is not None:
                measured.before_update(optimizer)
            return None
        return self._with_counted_closure(closure, arguments, keywords)

    def _note_rate(self, rate: object) -> None:
        """Keeps the rate of measured steps, and where it has changed by half since it was kept."""
        if not isinstance(rate, float | int | Tensor):
            return
        self.last_rate = self.steps, float(rate)
        _, kept = self.rates[-1] if self.rates else (0, None)
        if self._is_due or kept is None or abs(self.last_rate[1] - kept) >= 0.5 * abs(kept):
            self.rates.append(self.last_rate)

    def take_rates(self, *, last: bool = False) -> list[tuple[int, float]]:
        """(step, learning rate) kept since the last call; with that of the last step, if that is wanted."""
        if last and self.last_rate is not None and self.last_rate[0] > self._taken_rate:
            self.rates.append(self.last_rate)
        new = [(step, rate) for step, rate in self.rates if step > self._taken_rate]
        self._taken_rate = max([self._taken_rate, *(step for step, _ in new)])
        return list(dict(new).items())

    @staticmethod
    def _closure(arguments: tuple[object, ...], keywords: dict[str, object]) -> Callable[[], object] | None:
        found = keywords.get("closure", arguments[1] if len(arguments) > 1 else None)
        return found if callable(found) else None

    def _with_counted_closure(
        self, closure: Callable[[], object], arguments: tuple[object, ...], keywords: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """The arguments with a closure that tells when its first call is done."""

        def counted() -> object:
            result = closure()
            self._guarded(self._on_closure_done)
            return result

        if "closure" in keywords:
            return arguments, {**keywords, "closure": counted}
        return (arguments[0], counted, *arguments[2:]), keywords

    def _on_closure_done(self) -> None:
        self._closure_calls += 1
        if self._closure_calls == 1 and self._measured is not None and self._inside is not None:
            self._measured.before_update(self._inside)

    def _on_optimizer_done(self) -> None:
        self._inside = None
        if len(self._stepped) >= self._expected:
            self._end_step()

    def _end_step(self) -> None:
        step, measured = self.steps, self._measured
        loss = self.losses.end_step(step)
        self._stepped, self.passes_since_step = [], 0
        self.steps += 1
        self._wait_no_more()
        if measured is not None:
            self._measured = None
            facts = measured.finish(loss)
            if facts.is_reached and not facts.was_called:  # it runs, and no hook is called: it is compiled
                self.is_compiled = True
            self._trace = facts.trace
            self.losses.read()
            self._on_step(step, facts, facts.rows)
            self._plan.measured(step, self._plan.spent_now() - self._spent_before)
        if self.is_running:
            self._begin_step()

    def _begin_step(self) -> None:
        network = self._network()
        if network is None:
            self._end("the network is gone")
            return
        self._is_due = self._plan.is_due(self.steps)
        if not self._is_due:
            return
        self._spent_before = self._plan.spent_now()
        if not self.is_compiled:
            self._first_call = FirstCall(network, self._on_first_call, self._on_compiled)

    def _on_first_call(self, module: nn.Module, inputs: Inputs) -> None:
        self._guarded(self._enter, module, inputs)

    def _enter(self, module: nn.Module, inputs: Inputs) -> None:
        measured = self._measure_now()
        if measured is not None:
            measured.enter(module, inputs)

    def _on_compiled(self) -> None:
        self.is_compiled = True

    def _measure_now(self) -> WatchedStep | None:
        """The step's measurement, begun where it is due: the network is held from here to the step's end."""
        network = self._network()
        if self._measured is None and self._is_due and network is not None:
            self._wait_no_more()
            optimizers = [one for ref in self._optimizers if (one := ref()) is not None]
            layers = _no_layer if self.steps == WIRING_ONLY else self._layers
            watched = Watched(
                network,
                optimizers,
                layers,
                self.is_compiled,
                self.fault,
                self._plan.spending,
                self._tails,
            )
            self._measured = WatchedStep(watched, self._trace)
        return self._measured

    def _wait_no_more(self) -> None:
        if self._first_call is not None:
            self._first_call.remove()
        self._first_call = None

    def _drop_measurement(self) -> None:
        self._wait_no_more()
        measured, self._measured = self._measured, None
        if measured is not None:
            measured.cancel()

    def _guarded(self, function: Callable[[*Arguments], Answer], *arguments: *Arguments) -> Answer | None:
        """Calls the function, counts its time, and lets nothing that it raises reach the loop."""
        if not self.is_running:
            return None
        began = self._plan.begin()
        try:
            return function(*arguments)
        except Exception as error:
            self.fault(error)
        finally:
            self._plan.end(began)
        return None

    def fault(self, error: Exception) -> None:
        """Something went wrong in the watch itself: it ends."""
        self._end(f"a fault of its own: {error_with_type(error)}")

    def _end(self, reason: str) -> None:
        if self.is_running:
            self.stop()
            self._on_end(f"at step {self.steps}: {reason}")


def _no_layer(name: str) -> bool:
    return False
