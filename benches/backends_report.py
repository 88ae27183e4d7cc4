"""The table of docs/benchmarks.md that compares the backends, and its pictures for light and for dark pages."""

from __future__ import annotations

import platform
import re
from html import escape
from math import ceil, log10
from pathlib import Path
from typing import NamedTuple

from benches.calls import Call

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- written by make bench -->", "<!-- until here -->"

LINE, TOP, LABELS, BARS, VALUES = 24, 56, 400, 420, 150


class Row(NamedTuple):
    """Seconds of one call on each backend."""

    call: Call
    pure: float
    native: float

    @property
    def ratio(self) -> float:
        """How many times as long the pure one takes."""
        return self.pure / self.native


class Theme(NamedTuple):
    """Colours; both pairs of bars can be told apart by whoever sees no red or no green."""

    page: str
    text: str
    faint: str
    quicker: str
    slower: str


THEMES = {
    "light": Theme("#ffffff", "#1f2328", "#59636e", "#0969da", "#bc4c00"),
    "dark": Theme("#0d1117", "#f0f6fc", "#9198a1", "#388bfd", "#db6d28"),
}


def write(rows: list[Row], copy: float) -> None:
    """Puts what was measured into docs/. `copy` is the time of one copy of the large message, in seconds."""
    page = DOCS / "benchmarks.md"
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{page} has lost its marks")
    page.write_text(f"{before}{BEGIN}\n\n{_markdown(rows, copy)}\n{END}{after}", "utf-8")
    for name, theme in THEMES.items():
        (DOCS / f"backends-{name}.svg").write_text(_picture(rows, theme), "utf-8")


def _markdown(rows: list[Row], copy: float) -> str:
    lines = [
        f"Measured on {_machine()}: the quickest of 101 rounds. MB/s are 10⁶ bytes a second of the native backend.",
        "",
        "| function | pure µs | native µs | pure ÷ native | MB/s |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        rate = f"{row.call.size / row.native / 1e6:,.0f}".replace(",", " ") if row.call.size else ""
        times = f"{_digits(row.pure * 1e6)} | {_digits(row.native * 1e6)}"
        lines.append(f"| {row.call.name} | {times} | {_digits(row.ratio)} | {rate} |")
    lines += ["", f"One copy of 16 MiB, which reassembly cannot do without, took {_digits(copy * 1e6)} µs.", ""]
    return "\n".join(lines)


def _digits(value: float) -> str:
    """Two significant ones, or all before the point."""
    text = f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
    return text.replace(",", " ")


def _machine() -> str:
    cpu = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", cpu.read_text(), re.MULTILINE) if cpu.exists() else None
    name = found[1] if found else platform.machine()
    return f"{name}, {platform.system()}, {platform.python_implementation()} {platform.python_version()}"


def _picture(rows: list[Row], theme: Theme) -> str:
    width, bottom = LABELS + BARS + VALUES, TOP + LINE * len(rows)
    decades = ceil(log10(max(row.ratio for row in rows)))
    unit = BARS / (decades + 0.3)
    start = LABELS + 0.3 * unit  # so much room is left of 1 for what is slower
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 12}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{theme.text}">',
        "<title>How many times as long the pure backend takes</title>",
        f'<rect width="{width}" height="{bottom + 12}" fill="{theme.page}"/>',
        f'<text x="16" y="24" font-weight="600">Time of the pure backend ÷ time of the native one'
        f'<tspan dx="8" fill="{theme.faint}" font-weight="400">(logarithmic; grey: the native one)</tspan></text>',
    ]
    for decade in range(decades + 1):
        x = start + decade * unit
        parts += [
            f'<line x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{bottom}" stroke="{theme.faint}" '
            f'stroke-opacity="{0.9 if decade == 0 else 0.3}"/>',
            f'<text x="{x:.1f}" y="{TOP - 10}" text-anchor="middle" fill="{theme.faint}">{10**decade} ×</text>',
        ]
    for number, row in enumerate(rows):
        parts += _bar(row, TOP + LINE * number, start, unit, theme)
    return "\n".join([*parts, "</svg>", ""])


def _bar(row: Row, top: int, start: float, unit: float, theme: Theme) -> list[str]:
    end = start + max(log10(row.ratio), -0.3) * unit
    colour = theme.quicker if row.ratio >= 1 else theme.slower
    middle = top + LINE / 2 + 4.5
    value = f'{_digits(row.ratio)} × <tspan dx="8" fill="{theme.faint}">{_digits(row.native * 1e6)} µs</tspan>'
    return [
        f'<text x="{LABELS - 12}" y="{middle}" text-anchor="end">{escape(row.call.name)}</text>',
        f'<rect x="{min(start, end):.1f}" y="{top + 4}" width="{max(abs(end - start), 1):.1f}" height="{LINE - 8}" '
        f'rx="2" fill="{colour}"/>',
        f'<text x="{max(start, end) + 8:.1f}" y="{middle}" paint-order="stroke" stroke="{theme.page}" stroke-width="5">'
        f"{value}</text>",
    ]
