# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the rooms of the module and their arrows: doc/rooms.svg.

The arrows are those that tests/unit/test_rooms.py finds in the sources.  One
that follows from others is left out.
"""
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .tryton import ROOT

__all__ = ['DRAWING', 'ROOMS', 'draw', 'reduced']

DRAWING = ROOT / 'doc' / 'rooms.svg'
SIZE = 760, 1050
BOX = 220, 56
LEFT, CENTER, RIGHT = 20, 270, 520
TITLE = "Rooms of health_orthanc. Imports and calls follow the arrows."
NOTE = (
    "A room may also use every room that it reaches by several arrows, and"
    " none above it.")


@dataclass(frozen=True)
class Room:
    """A box of the drawing, placed by its upper left corner."""
    x: int
    y: int
    title: str
    text: str


ROOMS = {
    'top': Room(CENTER, 60, "wizard/, routes", "dialogs, HTTP routes"),
    'dashboard': Room(LEFT, 160, "dashboard/", "boards, statistics"),
    'operation': Room(LEFT, 260, "operation/", "health, warnings, metrics"),
    'exchange': Room(
        CENTER, 260, "exchange/", "upload, download, deletion"),
    'migration': Room(RIGHT, 160, "migration/", "upgrade from 4.x and 5.0"),
    'synchronization': Room(
        LEFT, 360, "synchronization/", "change log, notifications"),
    'viewing': Room(RIGHT, 360, "viewing/", "images on the screen"),
    'linking': Room(LEFT, 460, "linking/", "candidates, review, history"),
    'worklist': Room(RIGHT, 460, "worklist/", "templates, worklist items"),
    'orders': Room(CENTER, 560, "orders/", "orders, steps, results"),
    'archive': Room(CENTER, 660, "archive/", "servers, studies, viewers"),
    'audit': Room(CENTER, 760, "audit/", "who saw it"),
    'common': Room(CENTER, 860, "common/", "access, locks, transactions"),
    'core': Room(
        CENTER, 960, "core/", "Orthanc, DICOM: no Tryton"),
    }
STYLE = """\
    text { font-family: sans-serif; font-size: 13px; fill: #222; }
    .title { font-weight: bold; font-size: 15px; }
    rect { fill: #eef4fa; stroke: #35608a; stroke-width: 1.5; }
    line { stroke: #555; stroke-width: 1.5; marker-end: url(#head); }"""


def find_arrows() -> dict[str, set[str]]:
    """Return the rooms that each room imports from or calls."""
    from tests.unit import test_rooms
    found = defaultdict(set)
    for path in test_rooms.FILES:
        own = test_rooms.room(path)
        found[own].update(to for to, _ in test_rooms.arrows(path))
        found[own].discard(own)
    return dict(found)


def reduced(arrows: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Return the arrows that do not follow from others, sorted."""
    return sorted(
        (start, end) for start, ends in arrows.items() for end in ends
        if not any(
            end in _reached(arrows, other) for other in ends - {end}))


def _reached(arrows: Mapping[str, set[str]], start: str) -> set[str]:
    found, left = set(), [start]
    while left:
        new = arrows.get(left.pop(), set()) - found
        found |= new
        left.extend(new)
    return found


def draw() -> str:
    """Return the drawing as SVG."""
    width, height = SIZE
    return '\n'.join([
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}"'
            f' height="{height}" viewBox="0 0 {width} {height}"'
            ' role="img" aria-labelledby="title">',
            '  <!-- SPDX-FileCopyrightText: 2026 health_orthanc contributors'
            ' -->',
            '  <!-- SPDX-License-Identifier: GPL-3.0-or-later -->',
            '  <!-- Drawn by python -m devtools.rooms; do not edit -->',
            f'  <title id="title">{escape(TITLE)}</title>',
            '  <style>', STYLE, '  </style>',
            '  <defs>',
            '    <marker id="head" viewBox="0 0 10 10" refX="9" refY="5"'
            ' markerWidth="8" markerHeight="8" orient="auto">',
            '      <path d="M 0 0 L 10 5 L 0 10 z" fill="#555"/>',
            '    </marker>',
            '  </defs>',
            f'  <rect x="0" y="0" width="{width}" height="{height}"'
            ' style="fill: white; stroke: none"/>',
            f'  <text class="title" x="{LEFT}" y="24">{escape(TITLE)}</text>',
            f'  <text x="{LEFT}" y="44">{escape(NOTE)}</text>',
            *_lines(), *_boxes(),
            '</svg>', ''])


def _lines() -> Iterator[str]:
    width, height = BOX
    for start, end in reduced(find_arrows()):
        upper, lower = ROOMS[start], ROOMS[end]
        yield (
            f'  <line x1="{upper.x + width // 2}" y1="{upper.y + height}"'
            f' x2="{lower.x + width // 2}" y2="{lower.y}">'
            f'<title>{start} → {end}</title></line>')


def _boxes() -> Iterator[str]:
    width, height = BOX
    for room in ROOMS.values():
        middle = room.x + width // 2
        yield (
            f'  <rect x="{room.x}" y="{room.y}" width="{width}"'
            f' height="{height}" rx="6"/>')
        yield (
            f'  <text class="title" x="{middle}" y="{room.y + 24}"'
            f' text-anchor="middle">{escape(room.title)}</text>')
        yield (
            f'  <text x="{middle}" y="{room.y + 43}"'
            f' text-anchor="middle">{escape(room.text)}</text>')


if __name__ == '__main__':
    DRAWING.write_text(draw())
