"""What a trained network says of images.

- `saved_model`: the network of a run, from its checkpoint; `evaluate`, `predict`, `export`
- `preprocessing`: a user's own image becomes what the network was trained on; `stroke_extraction` finds the
  pen strokes in a photograph, `digit_normalization` brings them into MNIST's form
"""
