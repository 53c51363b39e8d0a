"""Plots of a report: quality against bytes per document and against milliseconds per query, as SVG or PNG."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError, StorageError
from late_interaction.evaluation.reporting.labels import placed_labels
from late_interaction.evaluation.reporting.scoring import label_of
from late_interaction.optional import require

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from late_interaction.evaluation.reporting.scoring import ScoredSystem

__all__ = ["check_path", "draw", "save"]

# The palette of Okabe & Ito (2008), which readers with any kind of color blindness can tell apart; each with a marker.
_STYLES = {
    "late": ("#0072B2", "o"),
    "lexical": ("#E69F00", "s"),
    "hybrid": ("#009E73", "D"),
    "single-vector": ("#D55E00", "^"),
    "pooled": ("#CC79A7", "v"),
    "sparse": ("#56B4E9", "P"),
    "cross-encoder": ("#000000", "X"),
    "cascade": ("#8C6D00", "p"),
    "run": ("#777777", "h"),
}
_SUFFIXES = (".svg", ".png")
_SIZE = (9.0, 10.0)  # inches
_DOTS_PER_INCH = 144
_MAX_NAMED = 10  # with more systems, points are numbered, and the names are in a list beside the plots
_MAX_NAME = 44  # characters
_POINT_RADIUS, _MARKED_RADIUS = 7.0, 13.0  # pixels at 100 dots per inch, in which matplotlib measures


@dataclass(frozen=True)
class _Point:
    """A point of a plot: its label, its place, and the limits of its interval."""

    label: str
    cost: float
    quality: float
    interval: tuple[float, float]
    color: str
    is_marked: bool


def save(
    systems: Sequence[ScoredSystem],
    measure: str,
    path: str | os.PathLike[str],
    *,
    title: str,
    recommended: tuple[str | None, str | None],
) -> None:
    """Save both plots, one above the other, as an SVG or PNG file.

    Args:
        systems: The systems. Those whose cost is not known are missing in its plot, which its title says.
        measure: The measure on the vertical axes.
        path: The file; its suffix decides.
        title: What is above the plots.
        recommended: Names of the systems to mark: the cheapest by size, and by time.

    Raises:
        InvalidRequestError: The suffix is neither ``.svg`` nor ``.png``, or no cost is known.
        OptionalDependencyError: matplotlib is not installed.
        StorageError: The file cannot be written.
    """
    check_path(path)
    place = Path(path)
    figure = draw(systems, measure, title=title, recommended=recommended)
    import matplotlib as mpl

    is_svg = place.suffix.lower() == ".svg"
    metadata = {"Date": None} if is_svg else {"Software": None}  # the same report gives the same file
    try:
        with mpl.rc_context({"svg.hashsalt": "late-interaction", "svg.fonttype": "none"}):
            figure.savefig(place, format=place.suffix[1:].lower(), metadata=metadata, dpi=_DOTS_PER_INCH)
    except OSError as error:
        raise StorageError(f"Cannot save the plot as {place}: {error.strerror or error}.") from None


def check_path(path: str | os.PathLike[str]) -> None:
    """Raise an error if no plot can be saved as this file: by its suffix or folder, or because of matplotlib."""
    if Path(path).suffix.lower() not in _SUFFIXES:
        raise InvalidRequestError(f"A plot is saved as .svg or .png, got {os.fspath(path)!r}.")
    if not Path(path).parent.is_dir():
        raise StorageError(f"Cannot save the plot as {os.fspath(path)}: its folder does not exist.")
    _require()


def draw(
    systems: Sequence[ScoredSystem], measure: str, *, title: str, recommended: tuple[str | None, str | None]
) -> Any:
    """Return a matplotlib figure with both plots, or with one if only one cost is known. See `save`."""
    _require()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    by_size, by_time = recommended
    costs: list[tuple[str, Callable[[ScoredSystem], float | None], str | None]] = [
        ("bytes per document", lambda system: system.bytes_per_document, by_size),
        ("milliseconds per query, median", lambda system: system.median_milliseconds, by_time),
    ]
    known = [entry for entry in costs if any(entry[1](system) for system in systems)]
    if not known:
        raise InvalidRequestError(
            "Neither bytes nor milliseconds of any system are known, so there is nothing to plot."
        )
    numbered = len(systems) > _MAX_NAMED
    width, height = _SIZE
    figure = Figure(
        figsize=(width + 3 * numbered, height * len(known) / len(costs)),
        layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12),
    )
    FigureCanvasAgg(figure)  # measures texts
    figure.suptitle(_literal(title), fontsize=12)
    panels = [
        _panel(axes, systems, measure, cost, marked, numbered=numbered, name=name)
        for axes, (name, cost, marked) in zip(figure.subplots(len(known), squeeze=False)[:, 0], known, strict=True)
    ]
    _legends(figure, systems, numbered=numbered)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout stays as it is, so that labels can be placed in it
    for axes, points in zip(figure.axes, panels, strict=True):
        _label(axes, points)
    return figure


def _require() -> None:
    require("matplotlib", package="matplotlib", feature="Plotting", extra="evaluation")


def _panel(
    axes: Any,
    systems: Sequence[ScoredSystem],
    measure: str,
    cost: Callable[[ScoredSystem], float | None],
    marked: str | None,
    *,
    numbered: bool,
    name: str,
) -> list[_Point]:
    """Draw the points of one plot and return them."""
    from matplotlib.ticker import LogLocator, NullFormatter

    points = []
    for number, system in enumerate(systems, 1):
        price = cost(system)
        if not price:
            continue
        interval, (color, marker) = system.intervals[measure], _style(system)
        bar = [[max(interval.mean - interval.low, 0)], [max(interval.high - interval.mean, 0)]]
        axes.errorbar(price, interval.mean, yerr=bar, color=color, marker=marker, markersize=7, elinewidth=1)
        is_marked = system.name == marked
        if is_marked:
            axes.plot(price, interval.mean, "o", markersize=17, fillstyle="none", color="black", markeredgewidth=1.5)
        label = str(number) if numbered else _shortened(system.name)
        points.append(_Point(label, price, interval.mean, (interval.low, interval.high), color, is_marked=is_marked))
    axes.set_xscale("log")
    axes.margins(x=0.1 if numbered else 0.22, y=0.12)
    axes.set_xlabel(name)
    axes.set_ylabel(label_of(measure))
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(_plain)
    axes.xaxis.set_minor_formatter(NullFormatter())
    explained = ["bars: 95 % intervals"]
    if marked is not None:
        explained.append("circle: recommended")
    if left_out := len(systems) - len(points):
        explained.append(f"{left_out:,} without a known cost not shown")
    axes.set_title("; ".join(explained), fontsize=9, loc="right", color="#444444")
    return points


def _legends(figure: Any, systems: Sequence[ScoredSystem], *, numbered: bool) -> None:
    """Draw what the colors mean and, if points are numbered, the names of the systems."""
    from matplotlib.lines import Line2D

    def handle(style: tuple[str, str], label: str) -> Any:
        return Line2D([], [], color=style[0], marker=style[1], linestyle="", label=label)

    kinds = dict.fromkeys(system.kind if system.kind in _STYLES else "run" for system in systems)
    handles = [handle(_STYLES[kind], kind.replace("-", " ")) for kind in _STYLES if kind in kinds]
    figure.legend(handles=handles, fontsize=9, loc="outside lower center", ncols=len(handles), frameon=False)
    if numbered:
        names = [
            handle(_style(one), f"{number}  {_literal(_shortened(one.name))}") for number, one in enumerate(systems, 1)
        ]
        figure.legend(handles=names, fontsize=8.5, loc="outside right center", frameon=False)


def _label(axes: Any, points: Sequence[_Point]) -> None:
    """Write the labels beside the points, without overlaps, each with a line to its point if it is far from it."""
    renderer = axes.figure.canvas.get_renderer()
    to_pixels, to_data = axes.transData.transform, axes.transData.inverted().transform
    sizes = []
    for point in points:
        text = axes.text(0, 0, _literal(point.label), fontsize=8.5)
        box = text.get_window_extent(renderer)
        sizes.append((box.width, box.height))
        text.remove()
    places = [tuple(to_pixels((point.cost, point.quality))) for point in points]
    radii = [_MARKED_RADIUS if point.is_marked else _POINT_RADIUS for point in points]
    bars = [tuple(to_pixels((point.cost, end))[1] for end in point.interval) for point in points]
    area = axes.get_window_extent(renderer)
    corners = placed_labels(places, radii, sizes, (area.x0, area.y0, area.x1, area.y1), bars=bars)
    for point, place, radius, corner, size in zip(points, places, radii, corners, sizes, strict=True):
        axes.text(*to_data(corner), _literal(point.label), fontsize=8.5, color=point.color, va="bottom", zorder=5)
        end = tuple(min(max(at, low), low + length) for at, low, length in zip(place, corner, size, strict=True))
        if math.dist(end, place) > 2 * radius + size[1] / 2:
            line = zip((point.cost, point.quality), to_data(end), strict=True)
            axes.plot(*line, color=point.color, linewidth=0.6)


def _style(system: ScoredSystem) -> tuple[str, str]:
    """Return the color and the marker of a system."""
    return _STYLES.get(system.kind, _STYLES["run"])


def _literal(text: str) -> str:
    """Return a text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")


def _shortened(name: str) -> str:
    """Return a name, without its middle if it is too long for a label."""
    half = _MAX_NAME // 2
    return name if len(name) <= _MAX_NAME else f"{name[:half]}…{name[-half:]}"


def _plain(value: float, position: object) -> str:
    """Return a number of an axis without an exponent."""
    del position
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
