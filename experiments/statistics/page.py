"""results.json → README.md."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.rendering import render_template
from experiments.statistics.boundary import Row
from experiments.statistics.simulate import PowerRow, Results
from trainlab.stats.power import Power

HERE = Path(__file__).parent
RESULTS, README, TEMPLATE = HERE / "results.json", HERE / "README.md", HERE / "README.template.md"


def render_readme(results: Results) -> str:
    """The page of what was simulated."""
    return render_template(
        TEMPLATE,
        {
            "claims": f"{results['claims']:,}",
            "pages": f"{results['pages']:,}",
            "boundary": _of_kinds(results["boundary"]),
            "not normal": _of_kinds(results["not_normal"]),
            "mixtures": _table(
                ["truth", "t test of five runs", "t e-process of all runs", "the rule of claims"],
                [
                    [row["truth"], _share(row["fixed_t"]), _share(row["all_runs"]), _share(row["rule"])]
                    for row in results["mixtures"]
                ],
            ),
            "meaning": _table(
                ["truth", "decided", "wrong of the runs that it is about"],
                [[row["truth"], _share(row["decided"]), _share(row["wrong"])] for row in results["meaning"]],
            ),
            "page": _table(
                [
                    "at the boundary",
                    "correlation",
                    "wrong among verdicts",
                    "… counting both sides",
                    "true claims supported",
                ],
                [
                    [
                        f"{row['at_boundary']} of 21",
                        f"{row['correlation']:g}",
                        _share(row["false_discovery_rate"]),
                        _share(row["either_side"]),
                        _share(row["supported"]),
                    ]
                    for row in results["page"]
                ],
            ),
            "power": _of_power(results["power"]),
            "largest": _table(
                ["seeds", "a mean", "`learns`, `learns … unlike`", "`more_often`"],
                [
                    [str(row["seeds"]), *(f"{row[name]:,.3g}" for name in ("mean", "learns", "more_often"))]
                    for row in results["largest"]
                ],
            ),
        },
    )


def _of_kinds(rows: Iterable[Row]) -> str:
    return _table(
        ["kind", "truth", "supported", "refuted"],
        [[row["kind"], row["truth"], _share(row["supported"]), _share(row["refuted"])] for row in rows],
    )


def _of_power(rows: Iterable[PowerRow]) -> str:
    return _table(
        ["truth", "alone: supported", "mean seeds", "95%", "for a page: supported", "mean seeds", "95%"],
        [[row["truth"], *_power(row["alone"]), *_power(row["page"])] for row in rows],
    )


def _power(power: Power | Sequence[float | None]) -> list[str]:
    supported, _, mean_seeds, seeds_95 = power
    return [_share(supported), f"{mean_seeds:.1f}", "over 24" if seeds_95 is None else f"{seeds_95:.0f}"]


def _share(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
