"""Figures, each for one question, written as PNG or SVG without a browser.

- `learning_curves`: did it learn, and how fast? does the remedy of a run help?
- `effect_bars`: how much does each axis matter, and which level is best?
- `grid_heatmaps`: what do two axes do together? which combinations of all axes learn?
- `parallel_coordinates`: what do the best settings have in common?
- `phase_diagram`: where in scale and depth does it train?
- `interval_plots`: which group is better, does one factor's effect depend on another, which claims hold?
- `signal_heatmap`: where in the network, and when?
- `layer_profiles`: does theory agree with the measurement, layer by layer?
- `bar_charts`: which class does the network predict? where are the parameters?
- `confusion_matrix`: which classes are confused?
- `reliability_diagram`: is the forecast's probability calibrated?
- `image_tiles`: arrays as images
- `style`: colours, fonts, files
"""
