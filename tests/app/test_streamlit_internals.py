"""The contract with Streamlit: each undocumented part that the app relies on, and what breaks without it."""

import re

import pytest

pytest.importorskip("streamlit")

import streamlit
from browsing import REPOSITORY
from streamlit import config

from trainlab.app import streamlit_internals, theme
from trainlab.app.server import STREAMLIT_SETTINGS
from trainlab.app.streamlit_internals import (
    BACKEND_SCRIPT,
    CHART_SELECTOR,
    PRELOADED_PARTS,
    STATIC,
    index_html,
    scripts_needed,
    set_options,
    style_sheets,
)

VERSION = f"Streamlit {streamlit.__version__}"
APP = REPOSITORY / "src" / "trainlab" / "app"
TEST_ID = re.compile(r'data-testid="(\w+)"')
STYLED = {*TEST_ID.findall((APP / "style.css").read_text("utf-8")), *TEST_ID.findall(CHART_SELECTOR)}
GIVEN_BY_SERVER = ("server.port", "server.address", "server.allowedHosts")


@pytest.fixture(scope="module")
def scripts():
    """All JavaScript of Streamlit's page."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (STATIC / "static" / "js").glob("*.js"))


@pytest.fixture
def default_options():
    yield
    set_options({})


@pytest.mark.parametrize("part", PRELOADED_PARTS)
def test_the_code_of_each_preloaded_part_is_a_script_of_its_name(part):
    assert scripts_needed([part]), (
        f"{VERSION} has no script {part}.*.js: charts or tables are fetched only when the first one arrives; "
        "find its new name for PRELOADED_PARTS"
    )


def test_tables_have_a_style_sheet_of_their_name():
    assert style_sheets(["DataFrame"]), f"{VERSION} has no DataFrame.*.css: the first table appears unstyled"


def test_imports_between_scripts_are_found():
    needed = scripts_needed(PRELOADED_PARTS)
    assert len(needed) > len(PRELOADED_PARTS), (
        f"{VERSION} writes imports between scripts in another way: _IMPORTED finds none, only the parts "
        "themselves are preloaded"
    )
    missing = [name for name in needed if not (STATIC / name).is_file()]
    assert not missing, f"{VERSION}: what _IMPORTED takes for imports are no files: {missing}"


def test_preloading_is_transitive():
    needed = set(scripts_needed(PRELOADED_PARTS))
    for name in needed:
        script = (STATIC / name).read_text(encoding="utf-8")
        imported = re.findall(r'(?:from|import)"\./([\w.-]+\.js)"', script)
        assert {f"static/js/{other}" for other in imported} <= needed


def test_the_page_has_a_head_for_the_links():
    page = index_html().decode()
    assert page.count(BACKEND_SCRIPT) == 1, f"{VERSION}: index.html has no <head>, it gets no server address"
    assert page.count("modulepreload") > len(PRELOADED_PARTS), f"{VERSION}: index.html has no </head>"


def test_the_page_reads_the_address_of_its_server(scripts):
    for name in ("window.__streamlit", "BACKEND_BASE_URL"):
        assert name in scripts, (
            f"{VERSION} does not read {name}: each page looks for its server at a wrong address first (404)"
        )


@pytest.mark.parametrize("test_id", sorted(STYLED))
def test_the_elements_that_the_style_names_are_there(scripts, test_id):
    assert test_id in scripts, f"{VERSION} has no element {test_id}: a rule of style.css or theme.py is dead"


@pytest.mark.parametrize("name", [*STREAMLIT_SETTINGS, *theme.theme_options(), *GIVEN_BY_SERVER])
def test_every_option_is_known(name):
    options = config.get_config_options()
    assert name in options, f"{VERSION} has no option {name}: the app cannot set it"


def test_options_can_be_set_before_the_server_starts(default_options):
    set_options({"server.port": 8599, "theme.light.primaryColor": "#123456"})
    assert config.get_option("server.port") == 8599 and (
        config.get_option("theme.light.primaryColor") == "#123456"
    ), f"{VERSION}: bootstrap.load_config_options sets no options; the app starts with Streamlit's defaults"


def test_a_streamlit_without_these_parts_has_its_own_page(monkeypatch):
    monkeypatch.setattr(streamlit_internals, "PRELOADED_PARTS", ("NoSuchPart",))
    index_html.cache_clear()
    try:
        own = (STATIC / "index.html").read_text(encoding="utf-8")
        assert index_html().decode().replace(BACKEND_SCRIPT, "") == own
    finally:
        index_html.cache_clear()
