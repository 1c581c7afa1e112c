"""Every page and tab at five widths, light and dark: nothing over anything else, nothing hidden, nothing cut.

Measured in the browser, from the boxes of what is drawn.
"""

import pytest
from browsing import settled

from trainlab.runs import load_runs

WIDTHS = (390, 768, 1280, 1440, 1920)
VIEWS = {
    "compare": "compare",
    "effects": "compare?view=Effect+of+each+axis",
    "parallel": "compare?view=Parallel+coordinates",
    "two-runs": "compare?view=Two+runs",
    "layers": "run?run={run}",
    "layers-beside": "run?run={run}&beside={other}",
    "sees": "run?run={run}&part=What+it+sees",
    "sees-beside": "run?run={run}&beside={other}&part=What+it+sees",
    "mistakes": "run?run={other}&part=Mistakes",
    "mistakes-beside": "run?run={run}&beside={other}&part=Mistakes",
    "will-it-learn": "will-it-learn",
    "claims": "claims",
    "papers": "claims?collection=Papers",
    "draw": "draw",
    "draw-test-image": "draw?way=A+test+image",
    "anatomy": "anatomy?idle=true",
}
MEASURE = """
() => {
  const box = e => e.getBoundingClientRect();
  const seen = e => { const b = box(e); return b.width > 3 && b.height > 3 && e.checkVisibility(); };
  const main = document.querySelector('[data-testid=stMain]');
  const all = css => [...main.querySelectorAll(css)].filter(seen);
  const words = e => e.getAttribute('alt') || e.closest('[aria-label]')?.ariaLabel || e.textContent || '';
  const name = e => `${e.tagName} ${words(e).trim().slice(0, 50)}`;
  const wide = document.documentElement.clientWidth;
  const wrong = [];
  if (document.documentElement.scrollWidth > wide || main.scrollWidth > main.clientWidth + 1)
    wrong.push(`the page is ${Math.max(document.documentElement.scrollWidth, main.scrollWidth)} wide`);
  const moved = e => e.closest('.st-key-parallel');  // wider than a telephone on purpose, and it can be moved
  const drawn = 'img, svg.marks, canvas.lower-canvas, [data-testid=stDataFrame]';
  const pictures = all(drawn).filter(e => !moved(e));
  for (const e of pictures) {
    const b = box(e);
    if (b.left < -1 || b.right > wide + 1) wrong.push(`${name(e)} is cut: ${b.left | 0} to ${b.right | 0}`);
  }
  for (const e of all('*')) {
    if (moved(e) || e.closest('[data-testid=stDataFrame], [data-testid=stCode], [role=tablist]')) continue;
    const scrolls = ['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX);
    if (scrolls && e.scrollWidth > e.clientWidth + 2 && e.querySelector('img, svg.marks'))
      wrong.push(`pictures are hidden in ${e.className}: ${e.scrollWidth} in ${e.clientWidth}`);
  }
  const texts = all('p, h1, h2, h3, button, label, input:not([type=range]), [role=slider]').filter(e =>
    !e.closest('[data-testid=stDataFrame], [data-testid=stElementToolbar], table, .ways') && !moved(e));
  const over = (a, b) => {
    const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    return x > 2 && y > 2;
  };
  for (const [i, one] of pictures.entries())
    for (const other of [...pictures.slice(i + 1), ...texts])
      if (!one.contains(other) && !other.contains(one) && over(box(one), box(other)))
        wrong.push(`${name(one)} lies over ${name(other)}`);
  for (const chart of all('svg.marks')) {
    for (const axis of chart.querySelectorAll('.role-axis-label')) {
      const shown = e => e.textContent && getComputedStyle(e).opacity > 0;
      const labels = [...axis.querySelectorAll('text')].filter(shown);
      labels.forEach((one, i) => labels.slice(i + 1).forEach(other => {
        if (over(box(one), box(other))) wrong.push(`label ${one.textContent} over ${other.textContent}`);
      }));
    }
  }
  const levels = [...main.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter(seen).map(e => +e.tagName[1]);
  levels.forEach((level, i) => {
    if (i && level > levels[i - 1] + 1) wrong.push(`h${level} after h${levels[i - 1]}`);
  });
  return [...new Set(wrong)];
}
"""


FAINT_TEXT = """
() => {
  const pen = Object.assign(document.createElement('canvas'), {width: 1, height: 1})
    .getContext('2d', {willReadFrequently: true});
  const rgb = (colours) => {  // one over the other, the last on top
    pen.clearRect(0, 0, 1, 1);
    for (const [colour, opacity] of colours) {
      pen.globalAlpha = opacity; pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = c => c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ancestors = e => e ? [...ancestors(e.parentElement), e] : [];
  const found = {};
  for (const e of document.querySelectorAll('[data-testid=stMain] *')) {
    const said = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent).join('').trim();
    const style = getComputedStyle(e);
    if (!said || !e.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    // pictures of text, what cannot be used, the value above a slider's thumb, figures that colour their text
    const elsewhere = '[data-testid=stDataFrame], [data-testid=stCode], [data-testid=stElementToolbar], '
      + ':disabled, style, [data-testid=stSliderThumbValue], .role-mark, [data-testid=stIconMaterial]';
    if (e.closest(elsewhere)) continue;
    const up = ancestors(e);
    const ground = up.map(a => [getComputedStyle(a).backgroundColor, 1]);
    const opacity = up.reduce((product, a) => product * getComputedStyle(a).opacity, 1);
    const ink = e.tagName === 'text' ? style.fill : style.color;
    const [l1, l2] = [light(rgb([...ground, [ink, opacity]])), light(rgb(ground))].sort((a, b) => b - a);
    const contrast = (l1 + 0.05) / (l2 + 0.05);
    if (contrast < 4.5) found[`${e.tagName} ${said.slice(0, 40)}`] = contrast.toFixed(2);
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def two(runs_folder):
    """A run that learned and one that did not."""
    runs = load_runs(runs_folder).filter(init="kaiming", seed=0).sort("activation")
    other, run = (runs["run_id"].to_list())[::-1]
    return {"run": other, "other": run}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_lies_over_anything_or_is_hidden(loaded_address, open_page, two, shot, view, scheme):
    page = open_page(f"{loaded_address}/{VIEWS[view].format(**two)}", WIDTHS[0], scheme)
    page.set_default_timeout(120_000)
    wrong = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 1500})
        page.wait_for_timeout(900)
        settled(page)
        page.wait_for_timeout(300)
        found = page.evaluate(MEASURE)
        wrong += [f"{width}: {line}" for line in found]
        if found:
            shot(page, f"layout-{view}-{scheme}-{width}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_all_text_can_be_read(loaded_address, open_page, two, view, scheme):
    page = open_page(f"{loaded_address}/{VIEWS[view].format(**two)}", 1280, scheme)
    page.wait_for_timeout(1500)
    assert page.evaluate(FAINT_TEXT) == {}


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_canvas_and_ways_of_draw_are_whole(loaded_address, open_page, width):
    page = open_page(f"{loaded_address}/draw", width)
    canvas = page.locator("canvas.upper-canvas")
    canvas.wait_for()
    frame = page.locator(".st-key-canvas-frame").bounding_box()
    assert canvas.bounding_box()["width"] == 280 <= frame["width"]
    ways = page.get_by_test_id("stButtonGroup").first
    assert ways.evaluate(
        "e => [e, ...e.querySelectorAll('*')].every(part => part.scrollWidth <= part.clientWidth + 1)"
    )
