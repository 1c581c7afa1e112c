"""results.json → README.md and the figure of the forecast's score; a summary for the README at the top."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.preflight import cross_validation
from experiments.preflight.metrics import Results, Scores
from experiments.rendering import render_template

HERE = Path(__file__).parent
RESULTS, README, PICTURE = HERE / "results.json", HERE / "README.md", HERE / "reliability.svg"

WRONG = 0.05
"""Share of either kind that a certain answer may get wrong: the border of "cannot tell"."""

RUNS_SEEN = 562
"""So many runs, the first of the design, were there while the features were made: those after are fresh."""


def readme(results: Results) -> str:
    """The whole README.md."""
    parts = {
        "zoo": table_of_zoo(results),
        "verdict": verdict(results),
        "axes": table_of_axes(results),
        "parts": table_of("part of the zoo, and what was left out", results["parts"]),
        "baselines": table_of_baselines(results),
        "answers": sentence_of_answers(results),
        "families": table_of_families(results),
        "reliability": table_of_reliability(results),
        "where": table_of("runs", results["where"]),
        "repeats": sentence_of_repeats(results),
        "misjudged": table_of_misjudged(results),
    }
    return render_template(HERE / "README.template.md", parts)


def summary(path: Path = RESULTS) -> str:
    """For the README at the top: the score in one table, from what was recorded."""
    results = json.loads(path.read_text(encoding="utf-8"))
    return f"{table_of_baselines(results)}\n\n{verdict(results)} {sentence_of_answers(results)}"


def verdict(results: Results) -> str:
    """Whether the score is what it must be, in one line."""
    pooled, must = results["pooled"], results["must"]
    reached = pooled["recall"] >= must["recall"] and pooled["false_alarms"] <= must["false_alarms"]
    word, named, alarms = "Reached" if reached else "Missed", pooled["recall"], pooled["false_alarms"]
    best = results["baselines"][cross_validation.TRAINED]
    return (
        f"**{word}**: on families left out, {named:.1%} of the configurations that do not learn are named "
        f"beforehand (asked: at least {must['recall']:.0%}), at {alarms:.1%} false alarms "
        f"(asked: at most {must['false_alarms']:.0%}). Fifty real steps name {best['recall']:.1%} at "
        f"{best['false_alarms']:.1%}."
    )


HEAD = "runs | configurations | AUROC | recall | false alarms | precision | Brier |"
RULE = "---:|---:|---:|---:|---:|---:|---:|"


def table_of_axes(results: Results) -> str:
    """A line for each axis left out in turn, and the mean of them."""
    lines = [f"| left out | {HEAD}", f"|---|{RULE}"]
    lines += [f"| each {axis_text(axis)} | {_cells(scores)}" for axis, scores in results["axes"].items()]
    lines += [f"| **mean of these** | {_cells(results['pooled'])}"]
    return "\n".join(
        [*lines, f"| nothing; runs {RUNS_SEEN + 1} on, by a fit of the first | {_cells(results['fresh'])}"]
    )


def table_of_baselines(results: Results) -> str:
    """The forecast beside what is simpler, all judged on the same families left out."""
    return table_of("by", {"**preflight**": results["pooled"], **results["baselines"], **results["ceiling"]})


def sentence_of_answers(results: Results) -> str:
    """The three answers in numbers."""
    answers = results["answers"]
    return (
        f'Of three answers it says "cannot tell" of {answers["silent"]:.1%} of the configurations. Of those '
        f"that learned {answers['learned_said_no']:.1%} were told that they will not, of those that did not "
        f"{answers['failed_said_yes']:.1%} that they will (meant: {WRONG:.0%} each). Where it answers, "
        f"{answers['recall_of_answered']:.1%} of the failures are named, at "
        f"{answers['false_alarms_of_answered']:.1%} false alarms."
    )


def table_of_families(results: Results) -> str:
    """A line for each family."""
    lines = [f"| left out | {HEAD}", f"|---|{RULE}"]
    for axis, families in results["families"].items():
        lines += [f"| {axis_text(axis)} {family} | {_cells(scores)}" for family, scores in families.items()]
    return "\n".join(lines)


def table_of(what: str, rows: Mapping[str, Scores]) -> str:
    """A line for each of these judgements."""
    lines = [f"| {what} | {HEAD}", f"|---|{RULE}"]
    return "\n".join([*lines, *(f"| {name} | {_cells(row)}" for name, row in rows.items())])


def sentence_of_repeats(results: Results) -> str:
    """How many ends were another the second time."""
    found = results["repeats"]
    return (
        f"{found['runs']} runs were trained again from the same initial weights, on other images of the same "
        f"data set: {found['changed']} of them ({found['changed'] / found['runs']:.1%}) came to another end."
    )


def table_of_reliability(results: Results) -> str:
    """A line for each tenth of the probability."""
    lines = ["| probability | predictions | said, mean | learned |", "|---|---:|---:|---:|"]
    for row in results["reliability"]:
        between = f"{row['from']:.0%} – {row['to']:.0%}"
        lines.append(f"| {between} | {row['runs']} | {row['said']:.1%} | {row['learned']:.1%} |")
    return "\n".join(lines)


def table_of_misjudged(results: Results, most: int = 40) -> str:
    """A line for each run that most left-out fits got wrong."""
    lines = ["| said | learned | test acc | run |", "|---:|---|---:|---|"]
    for row in results["misjudged"][:most]:
        run = " ".join(
            f"{k}={row[k]}" for k in ("model", "depth", "activation", "init", "norm_layer", "data") if row[k]
        )
        run += f" {row['normalization']} {row['optimizer']} lr={row['lr']:g}"
        run += f" steps={row['steps']} seed={row['seed']}"
        accuracy = "–" if row["test_acc"] is None else f"{row['test_acc']:.1%}"
        lines.append(
            f"| {row['probability']:.0%} | {'yes' if row['learned'] else 'no'} | {accuracy} | `{run}` |"
        )
    return "\n".join(lines)


def table_of_zoo(results: Results) -> str:
    """What the zoo is made of."""
    zoo = results["zoo"]
    lines = [
        f"{zoo['runs']} runs of {zoo['configurations']} configurations; {zoo['learned']} learned "
        f"({zoo['learned'] / zoo['runs']:.0%}), {zoo['diverged']} diverged.",
        "",
        "| axis | runs |",
        "|---|---|",
    ]
    for axis, counts in zoo["counts"].items():
        lines.append(f"| {axis_text(axis)} | {', '.join(f'{name} {n}' for name, n in counts.items())} |")
    return "\n".join(lines)


def _cells(scores: Scores) -> str:
    def known(value: float | None) -> bool:
        return value is not None and not np.isnan(value)

    def share(name: str, form: str = ".1%") -> str:
        value, (low, high) = scores[name], scores.get(f"{name}_interval", (None, None))
        if not known(value):
            return "–"
        return f"{value:{form}}" + (f" ({low:{form}} … {high:{form}})" if known(low) and known(high) else "")

    def plain(name: str, form: str) -> str:
        return f"{scores[name]:{form}}" if known(scores[name]) else "–"

    cells = (share("auroc", ".3f"), share("recall"), share("false_alarms"))
    whole = f"{scores['runs']} | {scores['configurations']} | "
    return whole + f"{' | '.join(cells)} | {plain('precision', '.1%')} | {plain('brier', '.3f')} |"


def axis_text(axis: str) -> str:
    return axis.replace("_", " ")


def draw_reliability(results: Results) -> None:
    """The reliability of the pooled predictions."""
    from trainlab.figures.reliability_diagram import reliability_plot
    from trainlab.figures.style import save_figure as save

    rows: Sequence[Mapping[str, float]] = results["reliability"]
    subtitle = f"{results['zoo']['runs']} runs, each judged by fits that never saw its family"
    save(reliability_plot(rows, "Said before training, and what came of it", subtitle), PICTURE)
