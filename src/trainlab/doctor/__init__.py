"""What is wrong in this training loop? For anybody's network, loss, optimizer and data.

- `step_check`: `check`, one step of a network, its loss and its optimizer; nothing of them is touched
- `data_check`: `check_data`, what loaders give
- `report`: what was found, as text, JSON and HTML
"""
