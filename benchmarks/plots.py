"""Plots with a name beside each line, as SVG and PNG files (matplotlib)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_OURS = "#D55E00"
_COLORS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#8C6D00", "#777777", "#000000")  # Okabe & Ito (2008)
_SIDES = {  # offset in points, alignment
    "above": ((0, 10), "center"),
    "below": ((0, -22), "center"),
    "left": ((-10, -4), "right"),
    "right": ((10, -14), "left"),
}
_STYLE = {"font.size": 13, "svg.fonttype": "path", "axes.spines.top": False, "axes.spines.right": False}


@contextmanager
def panels(path: Path, names: Sequence[str], title: str) -> Iterator[list[Any]]:
    """Yield axes for each name, side by side; then write the figure to ``path`` with the suffixes .svg and .png."""
    from matplotlib import pyplot  # optional dependency

    pyplot.switch_backend("Agg")
    with pyplot.rc_context(_STYLE):
        figure, drawn = pyplot.subplots(1, len(names), figsize=(7 * len(names), 5.2), sharey=True, squeeze=False)
        for panel in drawn[0]:
            panel.grid(visible=True, alpha=0.3)
            panel.margins(x=0.18, y=0.12)
        yield list(drawn[0])
        figure.suptitle(title)
        figure.tight_layout()
        for suffix in (".svg", ".png"):
            figure.savefig(path.with_name(path.name + suffix), dpi=150)
        pyplot.close(figure)


def logarithmic(panel: Any, axes: str) -> None:
    """Make some axes logarithmic, ``x``, ``y`` or ``xy``, with plain numbers."""
    from matplotlib import ticker

    for name in axes:
        panel.set(**{f"{name}scale": "log"})
        axis = getattr(panel, f"{name}axis")
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(ticker.NullLocator())


def line(
    panel: Any,
    points: Sequence[tuple[float, float]],
    name: str,
    *,
    is_ours: bool,
    place: tuple[int, str] = (-1, "above"),
) -> None:
    """Draw a line through points.

    Args:
        panel: The axes.
        points: The points, in order.
        name: What is written beside it.
        is_ours: Whether it stands out.
        place: The point that the name is beside, and on which side: ``above``, ``below``, ``left`` or ``right``.
    """
    if points:
        color = _OURS if is_ours else _COLORS[len(panel.lines) % len(_COLORS)]
        panel.plot(*zip(*points, strict=True), color=color, marker="*" if is_ours else "o", ms=16 if is_ours else 7)
        offset, align = _SIDES[place[1]]
        style = {"color": color, "ha": align, "weight": "bold" if is_ours else "normal"}
        panel.annotate(name, points[place[0]], xytext=offset, textcoords="offset points", **style)
