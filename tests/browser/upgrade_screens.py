# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hospital sees before the upgrade and after it.

Run as a module, this takes the pictures of the folder doc/upgrade.
"""
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect

from devtools import hospital, sao
from devtools.browser import chromium, log_in, new_page
from devtools.predecessor import Predecessor
from devtools.testing import cache_folder, predecessor_files
from devtools.tryton import MODULE, PASSWORD, ROOT, Server, Tryton
from tests.integration.upgraded import make_old_database

from .client import Client

__all__ = [
    'CONFIGURATION', 'ERROR', 'Hospital', 'RECORDS', 'SCREENS', 'Screen',
    'client_of', 'close_tabs', 'open_screen']

WORKLIST = 'health_imaging_worklist'
LOGIN = 'admin'
RECORDS = ("Health", "Medical Imaging", "Orthanc")
CONFIGURATION = ("Health", "Configuration", "Medical Imaging", "Orthanc")
CONFIG = 'gnuhealth.orthanc.config'
STUDY = 'gnuhealth.imaging_orthanc.study'
TEMPLATE = 'gnuhealth.imaging_worklist.worklist_template'
MUSTER = hospital.PATIENTS[0]
# Of a worklist template
NAME = "CT, as at first"
SIZE = {'width': 1200, 'height': 900}
COLOURS = 64
TIMEOUT = 60_000
PAUSE = 1000
ERROR = '.error-dialog:visible, .warning-dialog:visible'


@dataclass(frozen=True)
class Screen:
    """A list that is in the menu, or the form of the first record found.

    Attributes
    ----------
    menu : sequence of str
    field, value : str
        What the form shows when it is there.
    old_menu : sequence of str
        The list to open it from in the old module, which has a form of its
        own for it.
    page, tab : str
        Of the notebook and above the list, to look at after the upgrade.
    is_new : bool
        There is none before.
    """
    name: str
    menu: tuple[str, ...] = ()
    model: str = ''
    domain: tuple = ()
    field: str = ''
    value: str = ''
    old_menu: tuple[str, ...] = ()
    page: str | None = None
    tab: str | None = None
    is_new: bool = False

    def path(self, server: Server) -> str:
        """Return what the client opens the form by."""
        id_, = getattr(server.rpc().model, self.model).search(
            list(self.domain), 0, 1, [['id', 'ASC']], {})
        return f'model/{self.model}/{id_}'


SCREENS = [
    Screen('report', (*CONFIGURATION, "Upgrade Report"), is_new=True),
    Screen('servers', (*CONFIGURATION, "Servers")),
    Screen('server', model=CONFIG, domain=(('label', '=', 'Second'),),
        field='label', value='Second'),
    Screen('studies', (*RECORDS, "Studies"), tab="All"),
    Screen('study', model=STUDY, domain=(
            ('patient_id', '=', MUSTER.puid),),
        field='patient_id', value=MUSTER.puid),
    Screen('patient', model='gnuhealth.patient', domain=(
            ('puid', '=', MUSTER.puid),),
        field='party', value="Muster, Erika",
        old_menu=(*RECORDS, "Patients"), page="Studies"),
    Screen('order', model='gnuhealth.imaging.test.request',
        field='patient', value="Exemple, Zoé"),
    Screen('result', model='gnuhealth.imaging.test.result', domain=(
            ('comment', '=', 'result by hand'),),
        field='patient', value="Ejemplo Núñez, Juan José", page="Studies"),
    Screen('template', model=TEMPLATE, domain=(('name', '=', NAME),),
        field='name', value=NAME),
    ]


class Hospital:
    """A database that the old module has filled, and its web client.

    Parameters
    ----------
    folder
        For all of it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._options = {
            'name': 'clinic', 'web_root': sao.with_custom_files(
                sao.assemble(cache_folder()), folder / 'sao')}
        make_old_database(
            folder / 'tryton', [WORKLIST], name=self._options['name'])

    @contextmanager
    def before(self) -> Iterator[Server]:
        """Serve it with the old module, and one template more."""
        tryton = Predecessor(
            self._folder / 'tryton', predecessor_files(), **self._options)
        with tryton.server() as server:
            getattr(server.rpc().model, TEMPLATE).create(
                [{'name': NAME}], {})
            yield server

    @contextmanager
    def after(self) -> Iterator[Server]:
        """Upgrade it, and serve it."""
        tryton = Tryton(self._folder / 'tryton', **self._options)
        tryton.admin('-u', MODULE)
        with tryton.server() as server:
            yield server


def client_of(browser: Browser, server: Server) -> Client:
    """Return the web client of somebody who is logged in."""
    page = new_page(browser, **SIZE)
    log_in(page, server.url, server.tryton.name, LOGIN, PASSWORD)
    return Client(page, server.tryton.name)


def close_tabs(client: Client) -> None:
    tabs = client.page.locator('#tablist li')
    for left in reversed(range(tabs.count())):
        client.settle()
        tabs.last.locator('.close').click()
        expect(tabs).to_have_count(left)


def open_screen(
        client: Client, server: Server, screen: Screen,
        is_old: bool = False) -> None:
    """Open it in place of all others, and wait until it is there."""
    close_tabs(client)
    rows = client.within('table.tree tbody tr')
    if screen.menu:
        client.menu(*screen.menu)
        if screen.tab and not is_old:
            client.filter(screen.tab)
        rows.first.wait_for()
    elif screen.old_menu and is_old:
        client.menu(*screen.old_menu)
        rows.filter(has_text=screen.value).first.dblclick()
        client.field(screen.field).wait_for()
    else:
        client.open(screen.path(server))
        client.expect_value(screen.field, screen.value)
    client.settle()
    if not is_old and screen.page:
        client.notebook(screen.page)
        client.settle()
    expect(client.page.locator(ERROR)).to_have_count(0)


def _take(
        browser: Browser, server: Server, is_old: bool
        ) -> Mapping[str, Image.Image]:
    client = client_of(browser, server)
    found = {}
    for screen in SCREENS:
        if is_old and screen.is_new:
            continue
        open_screen(client, server, screen, is_old)
        # Widths of columns and icons come last
        client.page.wait_for_timeout(PAUSE)
        with Image.open(BytesIO(client.page.screenshot())) as image:
            found[screen.name] = image.convert('RGB')
    client.page.context.close()
    return found


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    gap = 20
    image = Image.new(
        'RGB', (left.width + gap + right.width, left.height), 'white')
    image.paste(left)
    image.paste(right, (left.width + gap, 0))
    return image


def main(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=TIMEOUT)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        clinic = Hospital(Path(folder))
        with clinic.before() as server:
            before = _take(browser, server, True)
        with clinic.after() as server:
            after = _take(browser, server, False)
    for name, image in after.items():
        if name in before:
            image = _beside(before[name], image)
        image.quantize(COLOURS).save(target / f'{name}.png', optimize=True)


if __name__ == '__main__':
    main(Path(*sys.argv[1:2] or [ROOT / 'doc' / 'upgrade']))
