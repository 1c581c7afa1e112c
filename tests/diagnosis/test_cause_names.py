"""The table of causes: each has a name of its own, one sentence, and Python that mends it."""

import ast

import pytest

from trainlab.diagnosis.data_causes import DATA_CAUSES
from trainlab.diagnosis.known_causes import CAUSES, Finding
from trainlab.diagnosis.loop_causes import LOOP_CAUSES
from trainlab.diagnosis.run_causes import RUN_CAUSES
from trainlab.errors import RequestError

TABLES = (RUN_CAUSES, LOOP_CAUSES, DATA_CAUSES)


def test_no_cause_stands_in_two_tables():
    assert len(CAUSES) == sum(len(table) for table in TABLES)
    assert all(name == cause.name for name, cause in CAUSES.items())


@pytest.mark.parametrize("name", CAUSES)
def test_the_code_is_a_line_or_two_of_python_and_no_override(name):
    cause = CAUSES[name]
    assert ast.parse(cause.code).body and len(cause.code.splitlines()) <= 2
    assert cause.code not in cause.remedies
    assert "\n" not in cause.sentence and not cause.sentence.endswith(".")


def test_a_finding_has_the_code_of_its_cause_unless_it_brings_its_own():
    assert Finding("channels_last", "…").remedy_code == CAUSES["channels_last"].code
    assert Finding("channels_last", "…", code="x = x.movedim(-1, 1)").remedy_code == "x = x.movedim(-1, 1)"
    with pytest.raises(RequestError, match="did you mean 'channels_last'"):
        assert Finding("channel_last", "…").remedy_code
