# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of README and doc/, taken of the demo.

Run as a module, this takes all of them again.
"""
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect

from devtools import samples
from devtools.browser import chromium, log_in, new_page
from devtools.demo import DATABASE, LABEL, Demo
from devtools.hospital import PATIENTS
from devtools.orthanc import to_bytes
from devtools.process import stopping_on_signals
from devtools.tryton import PASSWORD, ROOT

from .client import Client
from .test_upload import WIDGET, Form

__all__ = ['main']

RECORDS = ("Health", "Medical Imaging", "Orthanc")
CONFIGURATION = ("Health", "Configuration", "Medical Imaging", "Orthanc")
SIZE = {'width': 1366, 'height': 768}
COLOURS = 128
TIMEOUT = 60_000
# Widths of columns and icons come last
PAUSE = 1000
FILES = 120


class Photographer:
    """Takes pictures of the web client and puts them into a folder.

    Parameters
    ----------
    demo
        That has been started.
    target
        The folder.
    """

    def __init__(self, demo: Demo, browser: Browser, target: Path):
        self._demo = demo
        self._browser = browser
        self._target = target

    def take(
            self, name: str, login: str, show: Callable[[Client], None]
            ) -> None:
        """Log in, let `show` open a screen, and take the picture `name`."""
        self.visit(login, show, name)

    def visit(
            self, login: str, show: Callable[[Client], None],
            name: str | None = None) -> None:
        """Log in, and let `show` open a screen; take a picture with a name.
        """
        page = new_page(self._browser, **SIZE)
        log_in(page, self._demo.server.url, DATABASE, login, PASSWORD)
        client = Client(page, DATABASE)
        show(client)
        client.settle()
        if name:
            page.wait_for_timeout(PAUSE)
            self.save(name, client)
        page.context.close()

    def save(self, name: str, client: Client) -> None:
        with Image.open(BytesIO(client.page.screenshot())) as image:
            image.convert('RGB').quantize(COLOURS).save(
                self._target / f'{name}.png', optimize=True)


def show_list(*names: str, tab: str = '') -> Callable[[Client], None]:
    """Return what opens a list, and one of its tabs."""
    def show(client: Client) -> None:
        client.menu(*RECORDS, *names)
        client.within('table.tree tbody tr').first.wait_for()
        if tab:
            client.filter(tab)
    return show


def show_health(client: Client) -> None:
    client.menu(*CONFIGURATION, "Health")
    client.within('table.tree tbody tr').first.wait_for()


def show_audit(client: Client) -> None:
    client.menu(*CONFIGURATION, "Who Saw It")
    client.filter("All")
    client.within('table.tree tbody tr').first.wait_for()


def show_linked_study(client: Client) -> None:
    """Open a study of a patient, as a physician does."""
    client.menu(*RECORDS, "Linked Studies")
    client.within('table.tree tbody tr').first.dblclick()
    client.expect_image(client.within('img').first)


def show_review(client: Client) -> None:
    client.menu(*RECORDS, "Review")
    client.dialog().wait_for()
    client.within('img').first.wait_for()


def show_upload(photographer: Photographer, folder: Path
        ) -> Callable[[Client], None]:
    """Return what uploads a study and one file that is cut."""
    person = PATIENTS[0]
    for number, dataset in enumerate(samples.make_study(
                'CT', person.in_dicom(), series=1, instances=FILES, rows=16)):
        data = to_bytes(dataset)
        (folder / f'I{number:03}').write_bytes(
            data[:200] if number == 3 else data)

    def show(client: Client) -> None:
        form = Form(client)
        client.menu(*RECORDS, "Upload Images")
        client.dialog().locator(WIDGET).wait_for()
        # What is entered before would be overwritten by the defaults
        client.expect_selected('server_config', LABEL)
        client.settle()
        client.choose('patient', "Muster", "Muster, Erika")
        form.choose(folder, 'folder')
        form.rows('received').nth(5).wait_for()
        photographer.save('upload', client)
        form.expect_told(f"Received: {FILES - 1}")
        form.go_on()
    return show


def main(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=TIMEOUT)
    with tempfile.TemporaryDirectory() as name:
        images = Path(name, 'CT')
        images.mkdir()
        with Demo(Path(name, 'demo'), use_postgresql=False) as demo, \
                chromium() as browser:
            demo.start()
            photographer = Photographer(demo, browser, target)
            photographer.take(
                'studies', 'clerk', show_list("Studies", tab="All"))
            photographer.take('to_review', 'clerk', show_list("To Review"))
            photographer.take(
                'steps', 'radiographer', show_list("Scheduled Steps"))
            photographer.take('review', 'clerk', show_review)
            photographer.take('health', 'administrator', show_health)
            photographer.take(
                'upload_result', 'clerk', show_upload(photographer, images))
            photographer.visit('physician', show_linked_study)
            # What has been done until now
            photographer.take('audit', 'privacy', show_audit)


if __name__ == '__main__':
    with stopping_on_signals():
        main(Path(*sys.argv[1:2] or [ROOT / 'doc']))
