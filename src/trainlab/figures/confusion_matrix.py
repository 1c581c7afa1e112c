"""Which classes are taken for which? The confusion matrix, rows in shares of their class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainlab.errors import RequestError
from trainlab.figures.style import chart_title, import_altair

if TYPE_CHECKING:
    from trainlab.figures.style import Chart

MAX_CLASSES_WITH_COUNTS = 12
"""With more classes than this the numbers would not fit into their cells."""


def confusion_matrix_plot(
    counts_KK: Sequence[Sequence[int]], classes: Sequence[str], title: str, subtitle: str = ""
) -> "Chart":
    """The chart of counts by true class (row) and predicted class (column).

    Raises:
        RequestError: nothing was counted, or there are fewer names than classes.
    """
    alt = import_altair()
    if not any(map(sum, counts_KK)) or len(classes) < len(counts_KK):
        raise RequestError(f"confusion: got {len(counts_KK)} classes with {len(classes)} names and no counts")
    names = [str(name) for name in classes[: len(counts_KK)]]
    rows = [
        {"true": names[t], "predicted": names[p], "count": count, "share": count / max(1, sum(row))}
        for t, row in enumerate(counts_KK)
        for p, count in enumerate(row)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "predicted:N",
            sort=names,
            title="predicted class",
            axis=alt.Axis(labelAngle=-40 if max(map(len, names)) > 2 else 0, grid=False, labelLimit=110),
        ),
        y=alt.Y("true:N", sort=names, title="true class", axis=alt.Axis(grid=False, labelLimit=110)),
        tooltip=["true:N", "predicted:N", "count:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    scale = alt.Scale(scheme="viridis", domain=[0, 1])
    legend = alt.Legend(title=None, orient="right", gradientThickness=9, format="%")
    layers = [base.mark_rect().encode(color=alt.Color("share:Q", scale=scale, legend=legend))]
    if len(names) <= MAX_CLASSES_WITH_COUNTS:
        # the light end of viridis needs dark numbers
        ink = alt.condition("datum.share > 0.65", alt.value("#1B2026"), alt.value("#FFFFFF"))
        seen = base.transform_filter("datum.count > 0")
        layers.append(seen.mark_text(fontSize=11).encode(text="count:Q", color=ink))
    return alt.layer(*layers).properties(
        width=420,
        height=80 + 30 * len(names) if len(names) <= MAX_CLASSES_WITH_COUNTS else 460,
        title=chart_title(title, subtitle),
    )
