"""What is wrong in this training loop? For anybody's network, loss, optimizer and data.

- `watch`: any loop while it trains; `subjects`: what can be watched; `training_watch`: what was measured,
  told, recorded; `lightning_callback`: the same for a LightningModule
- `loop_watcher`: follows the loop, by `backward_calls`, `loop_losses` and hooks of optimizers
- `watched_step`: a measured step, from `module_calls`, `parameter_facts`, `loss_graph`, `module_facts`;
  `measurement_plan`: which steps
- `loop_diagnosis`: what is found, and when it is sure; `label_sample`: do the labels follow from the images?
- `watch_record`, `loop_settings`: its run folder
- `step_check`: `check`, one step of a network, its loss and its optimizer; nothing of them is touched
- its parts: `model_checks` before the step, `image_checks`, `output_checks` with `loss_probe`,
  `gradient_checks` with `decay_check`, `own_step` of the user's own step, `failed_step` where it raises
- `sandbox`: the copies that a step is made on
- `data_check`: `check_data`, what loaders give; its parts: `loader_epoch` reads it once, `label_checks`,
  `image_checks`, `split_checks`
- `batch_reader`: batches of whatever is handed over; `packed_tensors`: tensors in tuples and dictionaries
- `drawn_weights`: is a layer still as it was made? `layer_names`: how a layer is named
- `report`: what was found, as text, JSON and HTML
"""
