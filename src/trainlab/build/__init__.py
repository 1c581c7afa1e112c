"""From settings to the parts of a run: its network, data, optimizer.

- `networks`: the network, its input normalization, its initial weights
- `data`: the decoded and split images, their batches and augmentation
- `optimizer`: the optimizer and the number of its steps
- `dry_run`: what cannot be built, refused before any data are read
- `seeding`: independent random streams from one seed"""
