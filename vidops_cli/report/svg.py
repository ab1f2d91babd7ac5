"""Plots inside a page: SVG whose ink follows the page's colours, and whose text is text."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from .table import printable

INKS = {  # what plots are drawn in -> colours of page.css
    **{"#000000": "currentColor", "#222222": "currentColor", "#ffffff": "var(--paper)"},
    **{"#666666": "var(--soft)", "#888888": "var(--soft)", "#bbbbbb": "var(--rule)", "#e4e4e4": "var(--grid)"},
    **{"#0072b2": "var(--blue)", "#d55e00": "var(--red)", "#009e73": "var(--green)", "#cc79a7": "var(--pink)"},
    **{"#e69f00": "var(--orange)", "#56b4e9": "var(--sky)", "#444444": "var(--grey)"},
}
PIXELS = 1.6  # of a point: words of a plot are nearly as large as those of the page
_NO_XML = re.compile("[\ufffe\uffff]")
_DIGITS = re.compile(r"-?\d+\.\d{3,}")


def inline(draw: Callable[[Path], None], *, title: str, prefix: str) -> str:
    """What `draw` writes to a file, as an element of a page.

    `prefix` is of this plot alone: names inside begin with it. ValueError without matplotlib, or with nothing to draw.
    """
    try:
        from matplotlib import rc_context
    except ImportError:
        raise ValueError("plots need matplotlib", "pip install 'vidops[plot]'") from None
    with tempfile.TemporaryDirectory() as folder, rc_context({"svg.fonttype": "none"}):
        path = Path(folder) / "plot.svg"
        draw(path)
        return themed(path.read_text(encoding="utf-8"), title=title, prefix=prefix)


def themed(text: str, *, title: str, prefix: str) -> str:
    """A plot of matplotlib's without what a page does not need: metadata, style sheet, fonts, digits, unused names."""
    root = ElementTree.fromstring(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))
    for each in root.iter():
        each.tag = _plain(each.tag)
        each.attrib = {_plain(key): value for key, value in each.attrib.items()}
        each.tail = None
        if each.tag not in ("text", "tspan"):
            each.text = None
        for part in [part for part in each if _plain(part.tag) in ("metadata", "style")]:
            each.remove(part)
    named = {name for each in root.iter() for value in _references(each) for name in value if name}
    for each in root.iter():
        if each.get("id") not in named:
            each.attrib.pop("id", None)
        if each.tag == "text":
            _joined(each)
        each.attrib = {key: _value(key, value, prefix) for key, value in each.attrib.items()}
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    size = {"width": f"{PIXELS * width:.0f}", "height": f"{PIXELS * height:.0f}"}
    root.attrib = {"viewBox": root.attrib["viewBox"], **size, "role": "img", "aria-label": printable(title)}
    return ElementTree.tostring(root, encoding="unicode")


def _plain(name: str) -> str:
    """A tag or key without its namespace."""
    return name.rpartition("}")[2]


def _references(element: Element) -> list[tuple[str, str]]:
    """Names of other elements that this one's attributes refer to."""
    told = [value for key, value in element.attrib.items() if key != "id"]
    return [names for value in told for names in re.findall(r"^#([\w.-]+)$|url\(#([\w.-]+)\)", value)]


def _joined(text: Element) -> None:
    """Put together the signs of a formula, each of which has a place of its own: another font has other widths."""
    if text.get("transform", "").startswith("rotate(-0 "):
        del text.attrib["transform"]
    signs = sorted(text, key=lambda sign: float(sign.get("x", 0)))
    for sign in signs:
        text.remove(sign)
        text.text = None
    last, height = None, 0.0
    for sign in signs:
        y = float(sign.get("y", 0))
        if last is not None and (y, sign.get("style")) == (height, last.get("style")):
            last.text = (last.text or "") + (sign.text or "")
            continue
        if last is not None:
            sign.attrib = {"style": sign.get("style", ""), "dy": f"{y - height:.2f}"}
        text.append(sign)
        last, height = sign, y


def _value(key: str, value: str, prefix: str) -> str:
    """An attribute in colours of the page, with names of this plot alone, and two digits."""
    if key == "style":
        value = re.sub(r" *font-family:[^;]*;?", "", value)
        value = re.sub(r"#[0-9a-f]{6}\b", lambda found: INKS.get(found[0], found[0]), value)
    if key in ("d", "x", "y", "transform", "points"):
        return " ".join(_DIGITS.sub(lambda found: f"{float(found[0]):.2f}", value).split())
    value = re.sub(r"url\(#", f"url(#{prefix}", value)
    return prefix + value if key == "id" else re.sub("^#", f"#{prefix}", value) if key == "href" else value
