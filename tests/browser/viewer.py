# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees and does in the viewer."""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, expect

from devtools.process import wait_until

from .client import Client

__all__ = [
    'CANVAS', 'PATIENCE', 'drag', 'expect_place', 'expect_series',
    'has_pixels', 'is_head', 'line', 'opened', 'scroll', 'series_list',
    'show_series', 'thumbnail',
    'view_button', 'wait_for_head']

# What OHIF does before it shows an image takes its time on a busy machine
PATIENCE = 90_000
CANVAS = 'canvas.cornerstone-canvas'
# The gray values of the image on a line through its middle, 0 to 255
_LINE = '''canvas => {
    const context = canvas.getContext('2d');
    const {width, height} = canvas;
    const pixels = context.getImageData(0, height >> 1, width, 1).data;
    return [...Array(width).keys()].map(x => pixels[4 * x]);
}'''


@contextmanager
def opened(client: Client, button: Locator) -> Iterator[Page]:
    """Press a button that opens the viewer, and yield its page.

    An error of a script in it fails the test.
    """
    errors: list[str] = []
    client.settle()
    with client.page.context.expect_page() as found:
        button.click()
    viewer = found.value
    viewer.set_default_timeout(PATIENCE)
    viewer.on('pageerror', lambda error: errors.append(str(error)))
    yield viewer
    viewer.close()
    assert not errors


def view_button(client: Client, text: str) -> Locator:
    """Return the button in the row of a list with a text."""
    return client.within('table.tree tbody tr').filter(
        has_text=text).locator('button').filter(has_text="View")


def line(viewer: Page, viewport: int = 0) -> list[int]:
    return viewer.locator(CANVAS).nth(viewport).evaluate(_LINE)


def is_head(viewer: Page, viewport: int = 0) -> bool:
    """Return whether the canvas shows the slice of a head.

    From both sides: air, bone, then brain in many shades of gray.
    """
    if viewer.locator(CANVAS).count() <= viewport:
        return False
    grays = line(viewer, viewport)
    bright = [x for x, gray in enumerate(grays) if gray > 250]
    if not bright:
        return False
    first, last = min(bright), max(bright)
    third = (last - first) // 3
    inside = grays[first + third:last - third]
    return (
        len(set(grays)) > 20
        and max(grays[:first - 5], default=0) < 10
        and max(grays[last + 5:], default=0) < 10
        and len(set(inside)) > 10 and 20 < sum(inside) / len(inside) < 235)


def wait_for_head(viewer: Page, viewport: int = 0) -> None:
    viewer.locator(CANVAS).nth(viewport).wait_for()
    assert wait_until(lambda: is_head(viewer, viewport), PATIENCE / 1000)


def has_pixels(viewer: Page) -> bool:
    """Return whether the canvas shows an image of any kind."""
    canvas = viewer.locator(CANVAS)
    return canvas.count() > 0 and len(set(line(viewer))) > 20


def _overlay(viewer: Page, corner: str, viewport: int) -> Locator:
    return viewer.locator(
        f'[data-cy="viewport-overlay-{corner}"]').nth(viewport)


def expect_series(viewer: Page, description: str, viewport: int = 0) -> None:
    """Expect that a viewport says which series it shows."""
    expect(_overlay(viewer, 'top-left', viewport)).to_contain_text(
        description, timeout=PATIENCE)


def expect_place(viewer: Page, number: int, count: int) -> None:
    """Expect that the viewport shows an image of so many."""
    expect(_overlay(viewer, 'bottom-right', 0)).to_contain_text(
        f'({number}/{count})', timeout=PATIENCE)


def scroll(viewer: Page) -> None:
    """Turn the wheel to the next image."""
    viewer.locator(CANVAS).first.hover()
    viewer.mouse.wheel(0, 100)


def series_list(viewer: Page) -> Locator:
    return viewer.locator('[data-cy="studyBrowser-panel"]')


def thumbnail(viewer: Page, text: str) -> Locator:
    return series_list(viewer).locator('[data-cy*="thumbnail"]').filter(
        has_text=text).first


def show_series(viewer: Page, description: str) -> None:
    """Show a series in the viewport that is active."""
    thumbnail(viewer, description).dblclick()
    expect_series(viewer, description)


def drag(viewer: Page, places: Sequence[float]) -> None:
    """Move the mouse over the image with its button pressed.

    Parameters
    ----------
    places
        Parts of the width and height of the image.
    """
    box = viewer.locator(CANVAS).first.bounding_box()
    for number, part in enumerate(places):
        viewer.mouse.move(
            box['x'] + part * box['width'], box['y'] + part * box['height'],
            steps=5)
        if not number:
            viewer.mouse.down()
    viewer.mouse.up()
