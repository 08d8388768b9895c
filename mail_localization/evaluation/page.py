"""The pieces of an HTML page that opens anywhere and needs no network: its style, tables and pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.2rem 4rem; background: #fff; color: #1c2430;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .6rem; }
h3 { font-size: 1.05rem; margin: 2rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 46rem; }
.muted, .meaning, figcaption { color: #5c6672; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 29rem)); }
.card { border: 1px solid #e3e6ea; border-top: 4px solid; border-radius: 6px; padding: 1rem 1.2rem; }
.card h3 { margin: 0; }
.big { font-size: 2.3rem; font-weight: 650; line-height: 1.1; margin: .5rem 0 0; letter-spacing: -.02em; }
.warning { border-left: 4px solid #c8442f; background: #fdf3f1; padding: .5rem .9rem; margin: .8rem 0;
  overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .9rem .32rem 0; border-bottom: 1px solid #eef0f2; text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere;
  min-width: 9rem; }
th { font-weight: 600; vertical-align: bottom; }
td .meaning { font-size: .85rem; margin-left: .7rem; }
@media (max-width: 46rem) { td .meaning { display: block; line-height: 1.25; margin: 0; max-width: 15rem; } }
figure { margin: .6rem 0; }
figure img { display: block; width: 100%; max-width: 38rem; height: auto; }
.pair { display: grid; gap: 0 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  align-items: start; }
.wide { grid-column: 1 / -1; }
details { margin: .6rem 0; }
summary { cursor: pointer; }
pre { background: #f6f7f9; padding: .8rem 1rem; overflow-x: auto; font-size: .83rem; border-radius: 6px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .93rem; }
dd { margin: 0; overflow-wrap: anywhere; }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """Return a whole page of the sections that are not empty."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(section for section in sections if section)
        + "\n</body></html>\n"
    )


def table_row(name: str, meaning: str, cells: Iterable[str]) -> str:
    """Return a row of a table: a name with its meaning below, and cells."""
    below = f"<span class=meaning>{escape(meaning)}</span>" if meaning else ""
    filled = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<tr><td>{escape(name)}{below}</td>{filled}</tr>"


def html_table(header: Iterable[str], rows: Iterable[str]) -> str:
    """Return a table of finished rows that scrolls where it is too wide."""
    names = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f'<div class="scroll"><table><tr>{names}</tr>\n{chr(10).join(rows)}</table></div>'


def html_picture(png: bytes, caption: str, kind: str = "") -> str:
    """Return a picture that lies in the page itself, with its caption."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    text = escape(caption)
    image = f'<img alt="{text}" src="{source}">'
    return f'<figure class="{kind}">{image}<figcaption>{text}</figcaption></figure>'
