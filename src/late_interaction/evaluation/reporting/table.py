"""A report as tables: their cells, and both forms in which Python shows them, plain text and HTML."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from late_interaction.evaluation.reporting.scoring import label_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from late_interaction.evaluation.reporting.scoring import ScoredSystem
    from late_interaction.evaluation.statistics import Interval

__all__ = ["Table", "as_html", "as_text", "difference_text", "size", "tables_of", "time_text"]

_UNKNOWN = "-"
_MIN_NAME_WIDTH = 16
_GAP = "  "
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True)
class Table:
    """A table of strings.

    Attributes:
        title: What is above it.
        columns: The names of the columns. All but the first are aligned to the right.
        rows: The cells of each row.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables_of(systems: Sequence[ScoredSystem], measures: Sequence[str], baseline: str) -> list[Table]:
    """Return the tables: the first measure with the cost, the other measures, and the stages of cascades."""
    main, *others = measures
    tables = [
        Table(
            f"{label_of(main)} and its cost. In brackets: 95 % intervals. Baseline: {baseline}.",
            ("system", label_of(main), "difference", "per document", "ms, median", "p90"),
            tuple(
                (
                    system.name,
                    _quality(system.intervals[main]),
                    difference_text(system.differences[main]) if system.differences else "baseline",
                    size(system.bytes_per_document),
                    _time(system.median_milliseconds),
                    _time(system.p90_milliseconds),
                )
                for system in systems
            ),
        )
    ]
    if others:
        tables += [
            Table(
                "Other measures.",
                ("system", *map(label_of, others)),
                tuple((system.name, *(_quality(system.intervals[name]) for name in others)) for system in systems),
            ),
            Table(
                "Other measures, differences to the baseline.",
                ("system", *map(label_of, others)),
                tuple(
                    (system.name, *(difference_text(system.differences[name]) for name in others))
                    for system in systems
                    if system.differences
                ),
            ),
        ]
    staged = tuple(
        (system.name, str(stage["stage"]), f"{stage['candidates']:,.0f}", _time(stage["milliseconds"]))
        for system in systems
        for stage in system.result.stages
    )
    if staged:
        tables.append(Table("Stages, median over queries.", ("system", "stage", "candidates", "ms"), staged))
    return [table for table in tables if table.rows]


def as_text(table: Table, width: int) -> str:
    """Return a table for a terminal. Names that do not fit into the width are wrapped, numbers are not.

    Args:
        table: The table.
        width: In characters. A table of many columns can be wider.
    """
    columns = list(zip(table.columns, *table.rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    room = width - sum(widths[1:]) - len(_GAP) * (len(widths) - 1)
    widths[0] = min(widths[0], max(room, _MIN_NAME_WIDTH))
    lines = [table.title, ""]
    for row in (table.columns, *table.rows):
        first, *more = textwrap.wrap(row[0], widths[0]) or [""]
        cells = [first.ljust(widths[0]), *(cell.rjust(room) for cell, room in zip(row[1:], widths[1:], strict=True))]
        lines += [_GAP.join(cells).rstrip(), *more]
    return "\n".join(lines)


def as_html(table: Table) -> str:
    """Return a table for a notebook. Every name is escaped."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.columns)
    body = "".join(
        f'<tr><td style="text-align: left">{html.escape(name)}</td>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in table.rows
    )
    return (
        f'<table class="late-interaction"><caption>{html.escape(table.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def size(number: float | None) -> str:
    """Return a number of bytes with its unit, to two digits or more.

    Example:
        >>> size(5412), size(180.4), size(None)
        ('5.4 kB', '180 bytes', '-')
    """
    if number is None:
        return _UNKNOWN
    unit = 0
    while round(number) >= 1000 and unit < len(_UNITS) - 1:
        number /= 1000
        unit += 1
    return f"{number:.1f} {_UNITS[unit]}" if unit and number < 100 else f"{number:.0f} {_UNITS[unit]}"


def time_text(milliseconds: float | None) -> str:
    """Return a time with its unit.

    Example:
        >>> time_text(0.52), time_text(12.31), time_text(1240)
        ('0.52 ms', '12.3 ms', '1.2 s')
    """
    if milliseconds is None:
        return _UNKNOWN
    return f"{milliseconds / 1000:,.1f} s" if milliseconds >= 1000 else f"{_number(milliseconds)} ms"


def difference_text(interval: Interval) -> str:
    """Return a difference with its interval."""
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _quality(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _time(milliseconds: float | None) -> str:
    return _UNKNOWN if milliseconds is None else _number(milliseconds)


def _number(milliseconds: float) -> str:
    digits = 2 if milliseconds < 1 else 1 if milliseconds < 100 else 0
    return f"{milliseconds:,.{digits}f}"
