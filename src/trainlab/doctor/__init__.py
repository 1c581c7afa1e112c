"""What is wrong in this training loop? For anybody's network, loss, optimizer and data.

- `step_check`: `check`, one step of a network, its loss and its optimizer; nothing of them is touched
- its parts: `model_checks` before the step, `image_checks`, `output_checks` with `loss_probe`,
  `gradient_checks`, `own_step` of the user's own step, `failed_step` where it raises; `sandbox`: the copies
- `batch_reader`: batches of whatever is handed over; `layer_names`: how a layer is named
- `report`: what was found, as text, JSON and HTML
"""
