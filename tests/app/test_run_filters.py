from trainlab.app import run_choices


def test_it_offers_what_differs_in_order_and_as_text(runs_of):
    runs = runs_of([{"activation": "tanh", "optimizer.lr": 1e-4, "depth": 4},
                    {"activation": "relu", "optimizer.lr": 0.1, "depth": 4}])  # fmt: skip
    assert run_choices.values_by_setting(runs) == {
        "activation": ["relu", "tanh"],
        "optimizer.lr": ["0.0001", "0.1"],
    }


def test_what_is_missing_can_be_chosen_too(runs_of):
    runs = runs_of([{"depth": 2}, {"depth": None}, {"depth": 16}])
    assert run_choices.values_by_setting(runs)["depth"] == ["2", "16", "–"]
    assert run_choices.filter_runs(runs, {"depth": ["–", "16"]})["depth"].to_list() == [None, 16]


def test_filters_join_and_an_empty_one_asks_nothing(runs_of):
    runs = runs_of([{"depth": d, "activation": a} for d in (2, 4) for a in ("relu", "tanh")])
    kept = run_choices.filter_runs(runs, {"depth": ["2"], "activation": ["relu"], "seed": [], "gone": ["x"]})
    assert kept.select("depth", "activation").rows() == [(2, "relu")]
    assert run_choices.filter_runs(runs, {"depth": ["7"]}).is_empty()


def test_a_setting_with_too_many_values_is_not_offered(runs_of):
    runs = runs_of([{"optimizer.lr": n / 1000} for n in range(run_choices.MAX_FILTER_VALUES + 1)])
    assert run_choices.values_by_setting(runs) == {}
