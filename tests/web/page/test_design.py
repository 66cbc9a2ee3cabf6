"""The design system's colours can be read, also by people who cannot tell all of them apart."""

import itertools
import math
import re
from pathlib import Path

import pytest

import node.web

Rgb = tuple[float, float, float]

STYLES = Path(node.web.__file__).parent / "page" / "style"
THEMES = ("light", "dark")
TEXT = ("ink", "soft", "link", "head", "good", "best", "working", "bad", "worse")
PAPERS = ("paper", "raised", "code")
SERIES = tuple(f"series-{number}" for number in range(1, 9))
LEAST_TEXT = 4.5  # WCAG 2.2, 1.4.3
LEAST_GRAPHIC = 3.0  # WCAG 2.2, 1.4.11
LEAST_DISTANCE = 0.1  # in Oklab; two steps of gray that nobody confuses are this far apart
SIGHT = {
    "common": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
"""Linear colours as people with a colour deficiency see them (Machado and others, 2009)."""


def colours(theme: str) -> dict[str, Rgb]:
    """Return the linear colours of the custom properties in a theme."""
    text = (STYLES / "base.css").read_text(encoding="utf-8")
    pairs = re.findall(r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", text)
    return {name: linear((light, dark)[theme == "dark"]) for name, light, dark in pairs}


def linear(colour: str) -> Rgb:
    """Return a colour such as `#0f7438` in linear red, green and blue."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return _linear(red), _linear(green), _linear(blue)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast of two colours by WCAG 2.2."""
    lights = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (one, other)]
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def seen(colour: Rgb, sight: str) -> Rgb:
    """Return where a colour is in Oklab for somebody's sight."""
    red, green, blue = (
        min(1.0, max(0.0, sum(part * of for part, of in zip(row, colour, strict=True))))
        for row in SIGHT[sight]
    )
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    middle = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


@pytest.mark.parametrize("theme", THEMES)
def test_text_has_contrast_on_every_paper(theme: str) -> None:
    known = colours(theme)
    pairs = [(text, paper) for text in TEXT for paper in PAPERS]
    pairs += [("paper", "link"), ("paper", "worse"), ("paper", "best")]  # of buttons, badges
    found = {pair: round(contrast(known[pair[0]], known[pair[1]]), 2) for pair in pairs}
    assert {pair: value for pair, value in found.items() if value < LEAST_TEXT} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_text_has_contrast_on_the_tints_of_diffs_and_maps(theme: str) -> None:
    known = colours(theme)
    text = (STYLES / "pictures.css").read_text(encoding="utf-8")
    tints = re.findall(r"background: light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", text)
    assert len(tints) >= 10
    for pair in tints:
        assert contrast(known["ink"], linear(pair[theme == "dark"])) >= LEAST_TEXT, pair


@pytest.mark.parametrize("theme", THEMES)
def test_series_are_seen_on_paper_and_differ(theme: str) -> None:
    known = colours(theme)
    for name in SERIES:
        for paper in ("paper", "raised"):
            assert contrast(known[name], known[paper]) >= LEAST_GRAPHIC, (name, paper)
    for sight in SIGHT:
        for one, other in itertools.combinations(SERIES, 2):
            apart = math.dist(seen(known[one], sight), seen(known[other], sight))
            assert apart >= LEAST_DISTANCE, (sight, one, other, apart)


@pytest.mark.parametrize("theme", THEMES)
def test_kept_and_verified_do_not_look_alike(theme: str) -> None:
    page, known = STYLES.parent, colours(theme)
    words = (page / "words.js").read_text(encoding="utf-8")
    tones = dict(re.findall(r'"(kept|confirmed|adopted)": \[.*"([a-z]+)"\]', words))
    assert tones == {"kept": "working", "confirmed": "best", "adopted": "best"}
    marks = (page / "charts" / "marks.js").read_text(encoding="utf-8")
    shapes = dict(re.findall(r'(kept|adopted): \{ colour: "[a-z]+", outline: ([a-z]+)', marks))
    assert shapes == {"kept": "circle", "adopted": "diamond"}
    for verified in ("best", "head"):
        apart = math.dist(seen(known["working"], "common"), seen(known[verified], "common"))
        assert apart >= LEAST_DISTANCE


def test_styles_use_the_sizes_of_the_scale() -> None:
    """Other sizes of type and radii would be a second scale."""
    for path in STYLES.glob("*.css"):
        text = re.sub(r":root \{.*?\n\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert re.findall(r"font-size: [.0-9]+r?em|border-radius: [.0-9]+r?em", text) == [], path


def test_the_document_has_the_measured_contrasts() -> None:
    text = (Path(node.web.__file__).parents[2] / "docs/design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z]+)` \| [^|]+ \| ([0-9.]+) \| ([0-9.]+) \|$", text, re.MULTILINE)
    measured = [
        (name, *(f"{min(_on_papers(theme, name)):.1f}" for theme in THEMES)) for name in TEXT
    ]
    assert rows == measured


def _on_papers(theme: str, name: str) -> list[float]:
    known = colours(theme)
    return [contrast(known[name], known[paper]) for paper in PAPERS]
