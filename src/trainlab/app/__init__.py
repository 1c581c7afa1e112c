"""The web app: compare, look inside, forecast, read the claims, draw and predict. It reads, and never trains.

- `serve` starts it on this machine
- `pages/` a page a file, each thin: it asks the rooms below, and shows; `main` is what the server runs for
  every view: theme, navigation, and the page asked for
- `place` which folders it looks at; `shell` what every page shares: heading, charts, plain messages
- `theme` the visual language of `figures.style` as Streamlit wants it; `style.css` the little that is left
"""
