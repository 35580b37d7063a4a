"""A bar chart as SVG, for the README: groups of bars, each bar with its name and number.

It has a background of its own, dark where the reader's system is, so that it can be read on any page. The same numbers
give the same bytes.
"""

from collections.abc import Collection, Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, LABELS, NUMBERS, BAR, GAP, GROUP_GAP, HEAD, FOOT = 760, 170, 90, 15, 4, 34, 74, 20
STYLE = """
  svg { font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 12px }
  .page { fill: #ffffff; stroke: #d0d7de } text { fill: #1f2328 } .faint { fill: #59636e }
  .title { font-size: 16px; font-weight: 600 } .group { font-weight: 600; font-size: 13px }
  .peer { fill: #a9b4c0 } .ours { fill: #e8590c } .strong { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #3d444d } text { fill: #f0f6fc } .faint { fill: #9198a1 }
    .peer { fill: #56606b } .ours { fill: #ff8c42 }
  }
"""


def bars(title: str, subtitle: str, unit: str, groups: Mapping[str, Sequence[tuple[str, float]]],
         ours: Collection[str]) -> str:
    """The chart.

    Args:
        groups: the bars of each group, by its title; every group has a scale of its own.
        ours: the names of the bars that stand out.
    """
    lines, y = [], HEAD
    for group, rows in groups.items():
        y += GROUP_GAP - GAP
        lines.append(text(20, y - 8, group, "group"))
        longest = max((value for _, value in rows), default=1)
        for name, value in rows:
            mine = name in ours
            length = (WIDTH - LABELS - NUMBERS) * value / longest
            strong = "strong" if mine else ""
            lines.append(text(LABELS - 8, y + 12, name, strong, "end"))
            lines.append(f'<rect class="{"ours" if mine else "peer"}" x="{LABELS}" y="{y}" width="{length:.1f}" '
                         f'height="{BAR}" rx="2"/>')
            lines.append(text(LABELS + length + 6, y + 12, f"{value:.1f} {unit}", strong))
            y += BAR + GAP
    height = y + FOOT
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        text(20, 32, title, "title"),
        text(20, 54, subtitle, "faint"),
        *lines,
        "</svg>",
        "",
    ])


def text(x: float, y: float, content: str, style: str, anchor: str = "start") -> str:
    """A line of text that begins or ends at a point."""
    return f'<text class="{style}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(content)}</text>'
