"""Draws the README's picture of a server's traffic, before and after rcnetd.

`python -m tests.generate.traffic --write` updates it.
"""

from __future__ import annotations

import sys
from pathlib import Path

PICTURE = Path(__file__).parents[2] / "packaging" / "pictures" / "traffic.svg"
WIDTH, HEIGHT, PANEL = 760, 316, 380

STYLE = """\
  <style>
    text { font: 13px system-ui, sans-serif; fill: #1f2328; text-anchor: middle }
    .title { font-weight: 600; font-size: 15px }
    .small { font-size: 11px; fill: #59636e }
    rect { fill: #f6f8fa; stroke: #8c959f }
    rect.on { fill: #ddf4ff; stroke: #0969da }
    path { fill: none; stroke: #afb8c1; stroke-width: 1.5; stroke-dasharray: 3 4 }
    path.used { stroke: #0969da; stroke-width: 3; stroke-dasharray: none; marker-end: url(#head) }
    #head path { fill: #0969da; stroke: none }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .small { fill: #9198a1 }
      rect { fill: #161b22; stroke: #656c76 }
      rect.on { fill: #122d4f; stroke: #4493f8 }
      path { stroke: #454c54 }
      path.used { stroke: #4493f8 }
      #head path { fill: #4493f8 }
    }
  </style>"""


def svg() -> str:
    """Return the picture: two panels that differ only in the way out that is used."""
    label = "Before, a server's traffic leaves through the public router; after, the firewall."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
            f' width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{label}">',
            STYLE,
            '  <defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="4"'
            ' markerHeight="4" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>',
            *_panel(0, "Before: a new server", public=True),
            *_panel(PANEL, "After: rcnetd has set the route", public=False),
            "</svg>\n",
        ]
    )


def _panel(x: int, title: str, *, public: bool) -> list[str]:
    firewall = not public
    return [
        f'  <g transform="translate({x} 0)">',
        _text(190, 22, title, "title"),
        _path("M120 236V166", public),
        _path("M100 122V100Q100 66 128 66", public),
        _path("M260 236V166", firewall),
        _path("M280 122V100Q280 66 252 66", firewall),
        *_box(132, 44, 116, "the internet", "", on=True),
        *_box(20, 122, 160, "public router", "203.0.113.1", on=public),
        *_box(200, 122, 160, "firewall", "gateway 10.180.31.254", on=firewall),
        *_box(70, 236, 240, "cloud server", "", on=True),
        _text(120, 296, "eth0, public", "small"),
        _text(260, 296, "eth1, ServiceNet", "small"),
        "  </g>",
    ]


def _box(x: int, y: int, width: int, name: str, detail: str, *, on: bool) -> list[str]:
    shape = f'    <rect{_class("on" if on else "")} x="{x}" y="{y}" width="{width}" height="44"'
    middle = x + width // 2
    lines = [f'{shape} rx="6"/>', _text(middle, y + (20 if detail else 27), name)]
    return [*lines, _text(middle, y + 36, detail, "small")] if detail else lines


def _path(way: str, used: bool) -> str:
    return f'    <path{_class("used" if used else "")} d="{way}"/>'


def _text(x: int, y: int, text: str, name: str = "") -> str:
    return f'    <text{_class(name)} x="{x}" y="{y}">{text}</text>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PICTURE.write_text(svg(), encoding="utf-8")
    else:
        sys.stdout.write(svg())
