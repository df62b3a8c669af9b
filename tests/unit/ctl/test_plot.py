"""The picture of a boot is complete, readable and harmless for any timeline."""

from __future__ import annotations

import itertools
from typing import Any
from xml.etree import ElementTree

import pytest

from rcnetd.ctl.analysis import Analysis, analyze
from rcnetd.ctl.plot import WIDTH, picture
from tests.support.timelines import BOOT, RESTARTED, START, lines, long_wait, request, state

SVG = "{http://www.w3.org/2000/svg}"
CHANGES = [{"at": 45.6, "event": "change", "text": f"added route {n}"} for n in range(40)]
FAILED = [*BOOT[:14], state(46.0, "FAILED")]
BOOTS = {
    "boot": BOOT,
    "restarted": RESTARTED,
    "just started": [START],
    "failed": FAILED,
    "many changes": [*BOOT, *CHANGES],
    "an hour": long_wait(840),
    "a week": [*long_wait(3), state(42.0 + 7 * 86400, "STOPPED")],
    "all at once": [{**event, "at": 40.0} for event in BOOT],
}


def found(events: list[dict[str, Any]]) -> Analysis:
    """Analyse these events."""
    result = analyze(lines(events))
    assert result is not None
    return result


def parse(svg: str) -> ElementTree.Element:
    """Parse the picture; it must contain nothing that runs or is loaded."""
    assert not any(word in svg for word in ("<script", "href", "url(", "@import", "<image"))
    return ElementTree.fromstring(svg)


def number(element: ElementTree.Element, name: str) -> float:
    """An attribute as a number."""
    return float(element.attrib[name])


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("name", BOOTS)
def test_all_of_it_is_inside(name: str, everything: bool) -> None:
    """Every bar, line and text."""
    root = parse(picture(found(BOOTS[name]), everything=everything))
    height = number(root, "height")

    for bar in root.iter(f"{SVG}rect"):
        assert 0 < number(bar, "width")
        assert 0 <= number(bar, "x") <= number(bar, "x") + number(bar, "width") <= WIDTH
        assert 0 <= number(bar, "y") <= height - number(bar, "height")
    for line in root.iter(f"{SVG}line"):
        assert 0 <= number(line, "x1") <= WIDTH
        assert number(line, "y2") <= height
    for text in root.iter(f"{SVG}text"):
        left, right = extent(text)
        assert 0 <= left < right <= WIDTH + 40
        assert number(text, "y") <= height


def extent(text: ElementTree.Element) -> tuple[float, float]:
    """The left and right end of a text, in a font that is not wide."""
    width = len(text.text or "") * (9.0 if text.get("class") == "title" else 6.0)
    x = number(text, "x")
    return {
        None: (x, x + width),
        "end": (x - width, x),
        "middle": (x - width / 2, x + width / 2),
    }[text.get("text-anchor")]


@pytest.mark.parametrize("name", BOOTS)
def test_no_text_covers_another(name: str) -> None:
    """On each line of the picture."""
    root = parse(picture(found(BOOTS[name])))
    texts = sorted(root.iter(f"{SVG}text"), key=lambda text: number(text, "y"))
    for _, group in itertools.groupby(texts, key=lambda text: text.attrib["y"]):
        extents = sorted(map(extent, group))
        for (_, right), (left, _) in zip(extents, extents[1:]):
            assert right <= left


def test_bars_do_not_cover_each_other() -> None:
    """Polls that share a pixel are one bar: an hour is no larger than a minute."""
    short, long = (picture(found(long_wait(polls))) for polls in (14, 840))

    assert len(long) < 2 * len(short)
    root = parse(long)
    bars = sorted((number(bar, "y"), number(bar, "x"), number(bar, "width"))
                  for bar in root.iter(f"{SVG}rect"))  # fmt: skip
    for (y, x, width), (other_y, other_x, _) in zip(bars, bars[1:]):
        assert y != other_y or x + width <= other_x + 0.2


def test_what_it_says() -> None:
    """The title, a row for each state and kind of request, the marks, the legend."""
    texts = [text.text for text in parse(picture(found(BOOT))).iter(f"{SVG}text")]

    assert "rcnetd 0.1.0: route in effect after 6.000 s, ready after 12.0 s" == texts[0]
    for text in ("waiting for ServiceNet", "gateway_ip", "2 requests", "added x", "removed y",
                 "READY", "3.500 s", "rcnetd started", "failed"):  # fmt: skip
        assert text in texts


@pytest.mark.parametrize(
    ("outcome", "fields", "tone"),
    [
        ("ok", {"gateway": "10.180.31.254"}, "good"),
        ("ok", {"status": "DEPLOYED"}, "good"),
        ("ok", {"status": "DEPLOYING"}, "wait"),
        ("ok", {"status": "FAILED"}, "bad"),
        ("not-assigned", {}, "wait"),
        ("failed", {"kind": "dns"}, "bad"),
        ("rate-limited", {}, "bad"),
    ],
)
def test_the_tone_of_an_answer(outcome: str, fields: dict[str, Any], tone: str) -> None:
    """The outcome decides, not the words."""
    events = [START, *request(41.0, "x", 0.5, "404 DEPLOYING FAILED", outcome, **fields)]
    bars = list(parse(picture(found(events))).iter(f"{SVG}rect"))

    assert tone == bars[1].attrib["class"]


def test_it_ends_soon_after_ready() -> None:
    """A restart long afterwards is shown only on request."""
    again = [*BOOT, {**RESTARTED[-5], "at": 90000.0}]

    assert "started again" not in picture(found(again))
    assert "started again" in picture(found(again), everything=True)


def test_nothing_in_it_is_markup() -> None:
    """Content of the timeline is shown as text."""
    hostile = [{**event, "version": "</title><script>"} for event in RESTARTED]
    root = parse(picture(found(hostile), everything=True))

    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "rcnetd </title><script>: route in effect after 6.000 s, ready after 12.0 s" == texts[0]
    assert "<b>&\"' [31m" in texts


def test_many_marks_are_summed_up() -> None:
    """The picture stays small."""
    assert "and 20 more events" in picture(found(BOOTS["many changes"]))


def test_light_and_dark() -> None:
    """Every tone has a colour in both themes."""
    style = picture(found(BOOT)).partition("<style>")[2].partition("</style>")[0]
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")

    for tone in ("wait", "work", "good", "bad"):
        assert f".{tone} {{ fill: #" in light
        assert f".{tone} {{ fill: #" in dark
