"""One figure per question, written as PNG or SVG without a browser.

- `learning_curves`: did it learn, and how fast?
- `proof`: does the remedy of a run help?
- `reliability`: is a probability what it says?
- `style`: the one visual language
"""
