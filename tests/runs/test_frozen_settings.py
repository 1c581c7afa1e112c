from pathlib import Path

from trainlab.runs import index
from trainlab.runs.frozen_settings import diff_settings


def test_it_names_what_differs_and_whether_it_decides(settings_of):
    first, second = settings_of(), settings_of(optimizer__lr=0.5, group="other")
    rows = diff_settings(first, second)
    assert [(row.setting, row.decides) for row in rows] == [("optimizer.lr", True), ("group", False)]
    assert (rows[0].first, rows[0].second) == (first["optimizer"]["lr"], 0.5)


def test_a_setting_that_only_one_has_is_none_for_the_other(settings_of):
    first, second = settings_of(), settings_of()
    second["optimizer"]["nesterov"] = True
    assert diff_settings(first, second) == [("optimizer.nesterov", None, True, True)]
    assert diff_settings(first, first) == []


def test_the_stamp_changes_with_every_run_that_begins_ends_or_goes(tmp_path, make_run):
    root: Path = tmp_path / "runs"
    assert index.change_stamp(root) == ()
    stamps = {index.change_stamp(root)}
    folder = make_run("a")
    stamps.add(index.change_stamp(root))
    make_run("b")
    stamps.add(index.change_stamp(root))
    assert index.change_stamp(root) in stamps
    for file in sorted(folder.path.rglob("*")):
        file.unlink()
    folder.path.rmdir()
    assert index.change_stamp(root) not in stamps
