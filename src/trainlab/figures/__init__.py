"""One figure per question, written as PNG or SVG without a browser.

- `learning_curves`: did it learn, and how fast?
- `style`: the one visual language
"""
