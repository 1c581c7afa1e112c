"""Will it learn? Measured at initialization, no training.

- `preflight`: from a network, batches and an optimizer to a `Forecast` (`answer`)
- `run_forecast`: the same for a run's settings, and for many recorded runs; `forecast_server`: for whoever
  asks often; `phase_diagram_builder`: runs over scale and depth, with theory and forecast
- `isolation`: the user's network and process stay as they were; `image_sample`: the images;
  `optimizer_factory`: the optimizer and the schedule over copies
- `functional_model`: the network as a function of its weights; `gradients`: at these and at displaced ones
- `effective_update`: what the optimizer makes of a gradient; `line_probe`: where that leads
- `linearized_training`: the run in closed form, as if the network were linear
- `measurement`: all that is measured; `features`, `logistic_model`: from there to a probability
- `degenerate_cases`: what needs none; `expected_cause`: why not; `chain_theory`, `layer_report`: by layer
"""
