"""The picture that `glview demo` shows first, as a file that SeaBIOS can draw.

All of it is computed: a sky, hills in haze, and letters made of strokes, each
a line or an arc with round ends.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

WIDTH, HEIGHT = 1024, 768

_TITLE = "glview"
_HINTS = ("press esc for the boot menu", "or wait for ipxe, then press ctrl b")

# Each letter: its width, and its strokes on a grid with y upwards from the baseline and an
# x-height of 2. "l x0 y0 x1 y1" is a line, "a x y radius from to" an arc, in degrees.
_ALPHABET = {
    " ": (0.7, ""),
    ",": (0.1, "l .05 0 -.15 -.5"),
    "a": (2.0, "a 1 1 1 0 360; l 2 2 2 0"),
    "b": (2.0, "l 0 0 0 3; a 1 1 1 0 360"),
    "c": (1.75, "a 1 1 1 45 315"),
    "e": (2.0, "l 0 1 2 1; a 1 1 1 0 310"),
    "f": (1.0, "l .4 0 .4 2.5; a .9 2.5 .5 80 180; l 0 2 .9 2"),
    "g": (2.0, "a 1 1 1 0 360; l 2 2 2 0; a 1 0 1 200 360"),
    "h": (1.7, "l 0 0 0 3; a .85 1.15 .85 0 180; l 1.7 1.15 1.7 0"),
    "i": (0.0, "l 0 0 0 2; l 0 2.8 0 2.8"),
    "l": (0.0, "l 0 0 0 3"),
    "m": (
        2.8,
        "l 0 0 0 2; a .7 1.3 .7 0 180; l 1.4 1.3 1.4 0; a 2.1 1.3 .7 0 180; l 2.8 1.3 2.8 0",
    ),
    "n": (1.7, "l 0 0 0 2; a .85 1.15 .85 0 180; l 1.7 1.15 1.7 0"),
    "o": (2.0, "a 1 1 1 0 360"),
    "p": (2.0, "l 0 2 0 -1; a 1 1 1 0 360"),
    "r": (1.1, "l 0 0 0 2; a .85 1.15 .85 60 180"),
    "s": (1.0, "a .5 1.5 .5 30 270; a .5 .5 .5 -150 90"),
    "t": (1.0, "l .4 2.8 .4 .5; a .9 .5 .5 180 280; l 0 2 .9 2"),
    "u": (1.7, "l 0 2 0 .85; a .85 .85 .85 180 360; l 1.7 2 1.7 0"),
    "v": (1.7, "l 0 2 .85 0; l .85 0 1.7 2"),
    "w": (2.6, "l 0 2 .65 0; l .65 0 1.3 2; l 1.3 2 1.95 0; l 1.95 0 2.6 2"),
    "x": (1.7, "l 0 0 1.7 2; l 0 2 1.7 0"),
}
_GAP = 0.75  # between letters


def splash() -> NDArray[np.uint8]:
    """Return the picture: uint8 of shape (HEIGHT, WIDTH, 3), red first."""
    rgb = _landscape()
    _write(rgb, _TITLE, baseline=340, unit=48, weight=10.0, colour=(0.97, 0.98, 1.0))
    for line, hint in enumerate(_HINTS):
        _write(rgb, hint, 470 + 40 * line, unit=7, weight=1.15, colour=(0.78, 0.86, 0.95))
    # Half a step of noise hides the bands of a slow gradient in 8 bits.
    noise = np.random.default_rng(1).random(rgb.shape, dtype=np.float32)
    picture: NDArray[np.uint8] = np.clip(rgb * 255 + noise, 0, 255).astype(np.uint8)
    return picture


def bmp(rgb: NDArray[np.uint8]) -> bytes:
    """Return a 24-bit BMP file of an RGB picture whose width is a multiple of 4."""
    height, width, _ = rgb.shape
    body = rgb[::-1, :, ::-1].tobytes()  # bottom row first, blue first
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(body), 0, 0, 0, 0)
    start = 14 + len(info)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + info + body


def _landscape() -> Plane:
    """A night sky that brightens towards the horizon, and three ranges of hills."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    dusk = np.clip(y / (HEIGHT * 0.8), 0, 1)[..., None]
    rgb = _mix(_rgb(0x0B1233), _rgb(0x35588F), dusk**1.4)
    glow = np.exp(-(((x - 690) / 420) ** 2) - ((y - 640) / 190) ** 2)[..., None]
    rgb = _mix(rgb, _rgb(0xF2A07B), 0.75 * glow)
    for depth, (base, colour) in enumerate(((585, 0x3A4A7D), (640, 0x26315F), (700, 0x141B3E))):
        ridge = base + _waves(x[0], depth)
        inside = np.clip(y - ridge, 0, 1)[..., None]
        haze = np.clip((y - ridge) / 260, 0, 1)[..., None]
        rgb = _mix(rgb, _mix(_rgb(colour), _rgb(0x5A6796), haze), inside)
    return rgb


def _waves(x: Plane, seed: int) -> Plane:
    """The outline of a range of hills, in pixels up and down."""
    rng = np.random.default_rng(seed + 7)
    outline = np.zeros_like(x)
    for octave in range(5):
        phase = rng.random() * 2 * np.pi
        outline += 34 / 1.9**octave * np.sin(x * 1.7**octave / 120 + phase)
    return outline


def _write(
    rgb: Plane,
    text: str,
    baseline: float,
    unit: float,
    weight: float,
    colour: tuple[float, float, float],
) -> None:
    """Draw a centred line of text; `unit` is half the x-height, `weight` half a stroke's width."""
    widths = [_ALPHABET[letter][0] for letter in text]
    length = sum(widths) + _GAP * (len(text) - 1)
    left = (WIDTH - length * unit) / 2
    cover = np.zeros(rgb.shape[:2], np.float32)
    for letter, width in zip(text, widths, strict=True):
        for stroke in filter(None, _ALPHABET[letter][1].split("; ")):
            _draw_stroke(cover, stroke, left, baseline, unit, weight)
        left += (width + _GAP) * unit
    rgb[:] = _mix(rgb, np.array(colour, np.float32), cover[..., None])


def _draw_stroke(
    cover: Plane, stroke: str, left: float, baseline: float, unit: float, weight: float
) -> None:
    """Raise `cover`, 0 to 1 for each pixel, where the stroke lies."""
    kind, *words = stroke.split()
    numbers = [float(word) for word in words]
    # No letter reaches further than 3 units from its origin.
    reach = 3 * unit + weight + 1
    top, bottom = int(baseline - reach), int(baseline + reach)
    right, left_edge = int(left + reach), max(int(left - unit - weight), 0)
    rows, columns = np.mgrid[top:bottom, left_edge:right].astype(np.float32)
    x, y = (columns + 0.5 - left) / unit, (baseline - rows - 0.5) / unit
    distance = (_to_line if kind == "l" else _to_arc)(x, y, *numbers) * unit
    part = cover[top:bottom, left_edge:right]
    np.maximum(part, np.clip(weight + 0.5 - distance, 0, 1)[:, : part.shape[1]], out=part)


def _to_line(x: Plane, y: Plane, x0: float, y0: float, x1: float, y1: float) -> Plane:
    """Distance from each point to a piece of a line."""
    dx, dy = x1 - x0, y1 - y0
    along = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy or 1.0)
    along = np.clip(along, 0, 1)
    distance: Plane = np.hypot(x - x0 - along * dx, y - y0 - along * dy)
    return distance


def _to_arc(
    x: Plane, y: Plane, centre_x: float, centre_y: float, radius: float, start: float, end: float
) -> Plane:
    """Distance from each point to a piece of a circle."""
    dx, dy = x - centre_x, y - centre_y
    turn = np.degrees(np.arctan2(dy, dx)) - start
    within = np.mod(turn, 360) <= end - start
    ends = [
        np.hypot(dx - radius * np.cos(angle), dy - radius * np.sin(angle))
        for angle in np.radians(np.array([start, end], np.float32))
    ]
    distance: Plane = np.where(within, np.abs(np.hypot(dx, dy) - radius), np.minimum(*ends))
    return distance


def _rgb(colour: int) -> Plane:
    channels = [(colour >> shift & 255) / 255 for shift in (16, 8, 0)]
    return np.array(channels, np.float32)


def _mix(below: Plane, above: Plane, share: Plane | float) -> Plane:
    result: Plane = below + (above - below) * share
    return result
