"""Names, ids and paths are text, whatever they look like, at every door; numbers stay numbers."""

from operator import attrgetter

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hypothesis import given
from hypothesis import strategies as st

from trainlab.config import compose
from trainlab.config.overrides import TEXT_SETTINGS, quote_text_values
from trainlab.errors import RequestError
from trainlab.settings import Settings, text_setting_names
from trainlab.sweeps.ray_engine import RaySettings
from trainlab.sweeps.submitit_engine import SubmititSettings

LOOKS_LIKE_SOMETHING_ELSE = (
    "2026", "1234e5678901", "007", "1_000", "-3", "inf", "nan", "0x1f", "1.50", "2026-11-27", "12:30",
    "/a/b (1)", "/a=b", "~/x", "a b", "it's", 'say "so"', "C:\\data\\", "été", "a]", "#1", "a;b", "*",
    "choice", "true story",
)  # fmt: skip


def read(word: str) -> object:
    (override,) = OverridesParser.create().parse_overrides(quote_text_values([word]))
    value = override._value
    return value.text if isinstance(value, QuotedString) else value


def test_the_schema_knows_its_texts():
    assert set(text_setting_names(Settings)) == {
        "data.name", "group", "resume", "paths.data", "paths.cache", "paths.runs"
    }  # fmt: skip
    launchers = [name for model in (RaySettings, SubmititSettings) for name in text_setting_names(model)]
    assert {f"hydra.launcher.{name}" for name in launchers} <= TEXT_SETTINGS


@pytest.mark.parametrize("name", sorted(TEXT_SETTINGS))
@pytest.mark.parametrize("text", LOOKS_LIKE_SOMETHING_ELSE)
def test_a_text_arrives_as_it_was_typed(name, text):
    assert read(f"{name}={text}") == text


@given(st.text(st.characters(exclude_characters="'\"[{,$\r\n", exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_text_arrives(text):
    if text.strip() and "(" not in text and text.lower() not in ("null", "true", "false"):
        assert read(f"group={text}") == text
        assert quote_text_values(quote_text_values([f"group={text}"])) == quote_text_values([f"group={text}"])


@pytest.mark.parametrize(
    ("name", "words"), [("group", ["null"]), ("resume", ["true", "false", "null", "True"]), ("group", [""])]
)
def test_what_is_no_text_stays_what_it_is(name, words):
    for word in words:
        assert quote_text_values([f"{name}={word}"]) == [f"{name}={word}"]


@pytest.mark.parametrize(
    "word",
    ["seed=1", "optimizer.lr=1e-3", "-m", "--cfg", "group='2026'", "paths.runs=${oc.env:HOME,x}", "~group"],
)
def test_everything_else_stays_as_it_is(word):
    assert quote_text_values([word]) == [word]


@pytest.mark.parametrize("name", ["group", "resume", "paths.data", "paths.cache", "paths.runs"])
def test_settings_hold_the_text(name):
    text = "/1234e5678901" if name.startswith("paths") else "1234e5678901"
    assert attrgetter(name)(compose([f"{name}={text}"])) == text


def test_a_list_for_an_axis_says_how_to_sweep():
    with pytest.raises(RequestError, match=r"one option; a sweep over several: -m activation=relu,tanh$"):
        compose(["activation=[relu, tanh]"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=[1", "not closed"),
        (
            "data.folder=a,b",
            "several values; add -m to sweep over them, or put one that has a comma in quotes",
        ),
        ("data.source={a: [b}", "not closed"),
    ],
)
def test_what_hydra_cannot_read_is_one_line(override, said):
    with pytest.raises(RequestError, match=said) as refused:
        compose([override, "data=image_folder"])
    assert "\n" not in str(refused.value)


def test_a_setting_that_exists_is_not_proposed_instead_of_itself():
    with pytest.raises(RequestError) as refused:
        compose(["data.source.folder.x=1", "data=image_folder"])
    assert "did you mean 'data.source.folder'" not in str(refused.value)
