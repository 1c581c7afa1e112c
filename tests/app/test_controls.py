"""Every control stands in the address: all go through one door, which binds them to it."""

import ast

import pytest
from browsing import REPOSITORY

APP = REPOSITORY / "src" / "trainlab" / "app"
WIDGETS = {
    "checkbox", "color_picker", "date_input", "feedback", "multiselect", "number_input", "pills", "radio",
    "segmented_control", "select_slider", "selectbox", "slider", "tabs", "text_area", "text_input",
    "time_input", "toggle", "pagination",
}  # fmt: skip
"""What Streamlit has with a value that fits into an address. Not: buttons, uploads, drawings."""


def calls(path):
    """(name of the function around it, the call) of every call of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield from ((node.name, call) for call in ast.walk(node) if isinstance(call, ast.Call))


@pytest.mark.parametrize("path", sorted(APP.rglob("*.py")), ids=lambda path: path.stem)
def test_no_widget_is_made_beside_the_one_door(path):
    for function, call in calls(path):
        if isinstance(call.func, ast.Attribute) and call.func.attr in WIDGETS:
            assert path.name == "widgets.py" and function in ("select_from_url", "multiselect_from_url"), (
                f"{path.name}:{call.lineno} {call.func.attr}: make it with url_control: a link has it"
            )


def test_no_two_controls_of_a_page_share_a_name():
    for path in sorted(APP.rglob("*.py")):
        keys = [
            keyword.value.value
            for _, call in {call.lineno: (name, call) for name, call in calls(path)}.values()
            if isinstance(call.func, ast.Name) and call.func.id == "url_control"
            for keyword in call.keywords
            if keyword.arg == "key" and isinstance(keyword.value, ast.Constant)
        ]
        assert len(keys) == len(set(keys)), path.name


def test_the_door_binds(monkeypatch):
    from trainlab.app import widgets

    given = {}
    widgets.url_control(lambda label, **options: given.update(options), "depth", key="depth", width=3)
    assert given == {"key": "depth", "bind": "query-params", "width": 3}
