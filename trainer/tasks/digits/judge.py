"""Images of handwritten digits that nobody wrote, with labels for some and none for the others.

A digit is a few strokes. Each instance has a hand of its own, which bends the strokes of every
digit its way; each image is then slanted, stretched, moved, drawn thick or thin, and covered with
noise. Only whole numbers are drawn, and only sums, products, quotients and roots are taken, so
that every machine makes the same images.
"""

from collections.abc import Generator, Sequence
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
from judging import Wrong, random_of

CLASSES = 10
SIZE = 12  # pixels each way
LABELLED = 400
HIDDEN = 1000
UNITS = 1000  # of the square that strokes are given in

Array = np.ndarray[Any, Any]
Strokes = Sequence[Sequence[tuple[int, int]]]

HAND = 110  # how far an instance's hand moves a stroke's ends, in those units at most
TREMBLE = 90  # … and each image's own
SLANT = 250  # … how far the top may lean to either side
MARGIN = 120  # … how far the whole may be moved
SIZES = (620, 900)  # … how large it is
THICKNESS = (50, 110)  # … half a stroke's
NOISE = 180  # of a pixel, to either side at most, out of 255

# Strokes as lines through points, right and down from the upper left corner.
DIGITS: tuple[Strokes, ...] = (
    (((500, 0), (150, 250), (150, 750), (500, 1000), (850, 750), (850, 250), (500, 0)),),
    (((250, 250), (550, 0), (550, 1000)),),
    (((150, 250), (500, 0), (850, 250), (150, 1000), (850, 1000)),),
    (((200, 50), (800, 150), (450, 450), (850, 750), (200, 950)),),
    (((600, 1000), (600, 0), (150, 650), (900, 650)),),
    (((800, 0), (250, 0), (200, 450), (800, 600), (700, 950), (200, 950)),),
    (((750, 0), (250, 450), (200, 850), (600, 1000), (800, 700), (250, 600)),),
    (((150, 0), (850, 0), (400, 1000)), ((300, 500), (750, 500))),
    (((500, 500), (200, 200), (800, 200), (150, 800), (850, 800), (500, 500)),),
    (((800, 350), (400, 450), (250, 150), (650, 0), (800, 350), (600, 1000)),),
)


def instance(seed: bytes, split: str, index: int) -> dict[str, Array]:
    """Draw a hand, then images by it: as many of each digit, in a drawn order."""
    chance = random_of(seed)
    hand = [_bent(chance, strokes, HAND) for strokes in DIGITS]
    images, labels = _written(chance, hand, LABELLED)
    hidden, answers = _written(chance, hand, HIDDEN)
    return {"images": images, "labels": labels, "hidden": hidden, "answers": answers}


def _written(chance: Random, hand: list[Strokes], count: int) -> tuple[Array, Array]:
    labels = [each % CLASSES for each in range(count)]
    chance.shuffle(labels)
    strokes = [_placed(chance, _bent(chance, hand[label], TREMBLE)) for label in labels]
    thickness = np.array([chance.randint(*THICKNESS) for _ in labels])
    images = np.stack([_drawn(lines, half) for lines, half in zip(strokes, thickness, strict=True)])
    noise = np.frombuffer(chance.randbytes(2 * images.size), dtype=np.uint8)
    noise = noise.reshape(2, *images.shape).astype(np.int64)
    noisy = images + (noise[0] - noise[1]) * NOISE // 255
    return np.clip(noisy, 0, 255).astype(np.uint8), np.array(labels, dtype=np.uint8)


def _bent(chance: Random, strokes: Strokes, most: int) -> Strokes:
    """Return strokes whose points have moved a little, each on its own."""
    return [
        [(x + chance.randint(-most, most), y + chance.randint(-most, most)) for x, y in stroke]
        for stroke in strokes
    ]


def _placed(chance: Random, strokes: Strokes) -> Array:
    """Return strokes as lines of an image: slanted, made smaller, and moved somewhere."""
    slant = chance.randint(-SLANT, SLANT)
    wide, high = chance.randint(*SIZES), chance.randint(*SIZES)
    right, down = chance.randint(-MARGIN, MARGIN), chance.randint(-MARGIN, MARGIN)
    lines: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for stroke in strokes:
        points = [
            (
                UNITS // 2 + right + (x - 500 + slant * (500 - y) // 1000) * wide // 1000,
                UNITS // 2 + down + (y - 500) * high // 1000,
            )
            for x, y in stroke
        ]
        lines += pairwise(points)
    return np.array(lines, dtype=np.float64)


def _drawn(lines: Array, thickness: int) -> Array:
    """Return an image in whole numbers: bright within a stroke, dark a pixel beside it."""
    centres = (np.arange(SIZE) * 2 + 1) * (UNITS / SIZE / 2)
    x, y = centres[None, None, :], centres[None, :, None]
    (x0, y0), (x1, y1) = lines[:, 0].T[:, :, None, None], lines[:, 1].T[:, :, None, None]
    across, along = x1 - x0, y1 - y0
    squared = np.maximum(across * across + along * along, 1.0)
    share = np.clip(((x - x0) * across + (y - y0) * along) / squared, 0.0, 1.0)
    aside, below = x0 + share * across - x, y0 + share * along - y
    distance = np.sqrt(aside * aside + below * below).min(axis=0)
    ink: Array = np.clip((thickness - distance) / (UNITS / SIZE) + 0.5, 0.0, 1.0)
    image: Array = np.floor(ink * 255)
    return image.astype(np.int64)


def converse(instance: dict[str, Array]) -> Generator[dict[str, Array], object, None]:
    """Show everything but the answers, once, and take the labels."""
    yield {name: instance[name] for name in ("images", "labels", "hidden")}


def check(instance: dict[str, Array], transcript: Any) -> dict[str, float]:
    """Return the share of the hidden images whose digit was told."""
    labels, answers = _labels(instance, transcript), instance["answers"]
    if type(labels) is not np.ndarray or labels.dtype.kind not in "iu":
        raise Wrong("the answer must be an array of whole numbers")
    if labels.shape != answers.shape:
        raise Wrong(f"the answer must hold {len(answers)} labels in one row")
    if not ((labels >= 0) & (labels < CLASSES)).all():
        raise Wrong(f"a label must be a digit, from 0 to {CLASSES - 1}")
    return {"accuracy": int((labels == answers).sum()) / len(answers)}


def _labels(instance: dict[str, Array], transcript: Any) -> object:
    """Return what was said to the only message."""
    match transcript:
        case [[dict(message), labels]] if _is_same(message, next(converse(instance))):
            return labels
    raise Wrong("the conversation is not one message of the judge and one answer")


def _is_same(message: dict[Any, Any], asked: dict[str, Array]) -> bool:
    return message.keys() == asked.keys() and all(
        np.array_equal(message[name], asked[name]) for name in asked
    )
