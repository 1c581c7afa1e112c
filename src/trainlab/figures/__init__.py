"""One figure per question, written as PNG or SVG without a browser.

- `learning_curves`: did it learn, and how fast?
- `effect_bars`: how much does each axis matter, and which level is best?
- `confusion`: which classes are taken for which?
- `parallel`: what do the best settings have in common?
- `proof`: does the remedy of a run help?
- `reliability`: is a probability what it says?
- `arms`: which arm came out higher, and how sure is that?
- `interaction`: does what one factor does depend on the other?
- `pair`: what do two axes do together?
- `combinations`: which combinations of all axes learn?
- `heat_map`: where in the network, and when?
- `phase_diagram`: where in scale and depth does it train?
- `by_depth`: does theory say what happens?
- `layer_bars`: where do the parameters lie?
- `forest`: which claims hold, and by how much?
- `style`: the one visual language
"""
