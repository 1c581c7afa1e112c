"""The web app: compare, look inside, forecast, read the claims, draw and predict. It reads, and never trains.

- `server` starts it on this machine; `allowed_hosts` and `static_cache` are middleware before Streamlit
- `pages/` one page per file; `main` is what the server runs for every view: theme, navigation, page
- `compare_*`, `run_*` the parts of the pages Compare and Inside a run; `layer_diagrams` those of Anatomy
- `paths` the folders it reads; `run_cache` the runs on disk; `run_choices` labels and filters of runs;
  `model_service` what needs torch; `forecast_client` the forecast process
- `widgets` what every page shares: headings, charts, controls bound to the address, errors
- `theme` the visual language of `figures.style` as Streamlit wants it; `style.css` the rest;
  `streamlit_internals` all that relies on undocumented parts of Streamlit
"""
