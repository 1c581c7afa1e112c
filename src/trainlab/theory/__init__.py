"""What signal propagation predicts before any training.

- `mean_field`: variance and correlation maps of wide random networks, their fixed points, the critical line
- `propagation`: forward variance and backward gradient, layer by layer, for an actual network;
  `layer_response`: how an activation and a norm layer answer
- `batchnorm`: the growth of gradients through BatchNorm
- `moments`, `quadrature`, `elementwise`: Gaussian expectations of an activation, exact across its kinks
"""
