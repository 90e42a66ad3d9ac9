# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the documentation, taken of the demo.

Run as a module, this takes all of them again, and reads the screens on the
way.  It ends with an error if a page names a label that was on none of them:
then the page is out of date, or the screen.
"""
import argparse
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from devtools import demo_morning, samples
from devtools.browser import chromium, log_in, new_page
from devtools.demo import DATABASE, LABEL, Demo, say
from devtools.demo_check import STUDY
from devtools.demo_morning import NAMESAKES, REQUEST
from devtools.hospital import PATIENTS
from devtools.orthanc import to_bytes
from devtools.process import StartError, stopping_on_signals
from devtools.tryton import PASSWORD, ROOT

from . import walk_throughs
from .client import Client
from .screen_text import read_screen
from .test_upload import WIDGET, Form

__all__ = ['DOC', 'JOB_PAGES', 'PICTURES', 'ROLE_PAGES', 'labels', 'main']

DOC = ROOT / 'doc'
HEALTH = ("Health",)
IMAGING = ("Health", "Medical Imaging")
RECORDS = (*IMAGING, "Orthanc")
CONFIGURATION = ("Health", "Configuration", "Medical Imaging", "Orthanc")
SIZE = {'width': 1366, 'height': 768}
COLOURS = 64
TIMEOUT = 60_000
# Widths of columns and icons come last
PAUSE = 1000
FILES = 120
# Pages of which the labels are looked for on the screens
ROLE_PAGES = [
    'administrators', 'clerks', 'heads', 'physicians', 'privacy',
    'radiographers']
JOB_PAGES = [job.page for job in walk_throughs.JOBS if job.page]
# What the jobs look at, by their page
LOOKS = {
    'order_ct': ['form', 'question', 'orders'],
    'on_the_worklist': ['steps'],
    'todays_patients': ['today'],
    'last_study': ['patient', 'studies', 'viewer'],
    'review': ['review'],
    'upload_a_disc': ['files', 'check', 'linked'],
    'order_again': ['step', 'reason', 'order'],
    'why_not_linked': ['unlinked'],
    'why_not_on_the_worklist': ['steps'],
    'add_a_server': ['form', 'https', 'added'],
    }
# What a page of a role names and the demo has no case of: their names are read
# from the database
CONDITIONAL_FIELDS = [
    ('gnuhealth.imaging.test.result', 'orthanc_images_unlinked'),
    ('gnuhealth.imaging_orthanc.review.show', 'further'),
    (STUDY, 'doubt'),
    ]
CONDITIONAL_BUTTONS = [
    (REQUEST, 'repeat_order'),
    ('gnuhealth.orthanc.config', 'decide_database'),
    ('gnuhealth.orthanc.synchronization.failure', 'retry'),
    ]
# All that this makes, without .png, below doc/
PICTURES = [
    'audit', 'health', 'my_orders', 'results', 'review', 'steps', 'studies',
    'study', 'to_review', 'upload', 'upload_result',
    *(f'jobs/{page}_{look}' for page in LOOKS for look in LOOKS[page])]

_CODE = re.compile(r'```.*?```|`[^`]*`', re.DOTALL)
_LINK = re.compile(r'!?\[([^]]*)\]\([^)]*\)')
_EMPHASIS = re.compile(r'(?<!\*)\*([^*]+)\*(?!\*)')


def labels(text: str) -> list[str]:
    """Return the labels that a page names, each part of a menu path."""
    text = ' '.join(_LINK.sub(r'\1', _CODE.sub('', text)).split())
    return [
        part for path in _EMPHASIS.findall(text)
        for part in path.split(' → ')]


class Photographer:
    """Takes pictures of the web client, and keeps what was to be read.

    Parameters
    ----------
    demo
        That has been started.
    target
        The folder of the pictures.

    Attributes
    ----------
    read : dict
        The lines that were on the screens, by job; None for those of no
        job.
    menus : set of str
        What the menus of all roles are.
    taken : list
        The names of the pictures.
    """

    def __init__(self, demo: Demo, browser: Browser, target: Path):
        self._demo = demo
        self._browser = browser
        self._target = target
        self.read: dict[str | None, set[str]] = defaultdict(set)
        self.menus: set[str] = set()
        self.taken: list[str] = []

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
        say(f"{login}: {name or show.__name__}")
        page = new_page(self._browser, **SIZE)
        log_in(page, self._demo.server.url, DATABASE, login, PASSWORD)
        client = Client(page, DATABASE)
        client.settle()
        show(client)
        client.settle()
        self.look(page)
        if name:
            self.save(name, page)
        page.context.close()

    def look(self, page: Page, doc: str | None = None) -> None:
        """Read a screen, for a page of the documentation."""
        self.read[doc] |= read_screen(page)

    def save(self, name: str, page: Page) -> None:
        """Take a picture, without the cursor."""
        self.look(page)
        page.wait_for_timeout(PAUSE)
        path = self._target / f'{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(BytesIO(page.screenshot(caret='hide'))) as image:
            image.convert('RGB').quantize(
                COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        self.taken.append(name)

    def walk(self, place: walk_throughs.Hospital) -> None:
        """Do the ten jobs, and take the pictures of their pages."""
        for job in walk_throughs.JOBS:
            if not job.page:
                continue
            say(job.name)

            def look(name: str, page: Page, doc: str = job.page) -> None:
                self.save(f'jobs/{doc}_{name}', page)
                self.look(page, doc)
            done = walk_throughs.walk(self._browser, place, job, look=look)
            if done.error:
                raise StartError(f"{job.name}: {done.error}")


def show_list(*names: str, tab: str = '') -> Callable[[Client], None]:
    """Return what opens a list, and one of its tabs."""
    def show(client: Client) -> None:
        client.menu(*names)
        client.within('table.tree tbody tr').first.wait_for()
        if tab:
            client.filter(tab)
    show.__name__ = names[-1]
    return show


def show_audit(client: Client) -> None:
    client.menu(*CONFIGURATION, "Who Saw It")
    client.filter("All")
    client.within('table.tree tbody tr').first.wait_for()


def show_my_orders(client: Client) -> None:
    client.within('table.tree tbody tr').first.wait_for()


def show_linked_study(client: Client) -> None:
    """Open a study of a patient, as a physician does."""
    client.menu(*RECORDS, "Linked Studies")
    client.within('table.tree tbody tr').first.dblclick()
    client.expect_image(client.within('.form-image img.center-block').first)


def show_review(client: Client) -> None:
    client.menu(*RECORDS, "Review")
    client.dialog().wait_for()
    client.expect_image(client.within('.form-image img.center-block').first)


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
        photographer.save('upload', client.page)
        form.expect_told(f"Received: {FILES - 1}")
        form.go_on()
    return show


def read_menus(photographer: Photographer, login: str) -> None:
    """Read the menus of a role, unfolded to the last branch."""
    def show(client: Client) -> None:
        def unfold(*names: str) -> None:
            for name in client.entries(*names):
                if name in {
                        "Medical Imaging", "Dashboards", "Orthanc",
                        "Configuration"}:
                    unfold(*names, name)
        unfold("Health")
        photographer.menus |= read_screen(client.page)
    show.__name__ = "menus"
    photographer.visit(login, show)


def read_record(
        photographer: Photographer, login: str, model: str, row: str = ''
        ) -> None:
    """Read a list, a record of it with all its pages, and its actions."""
    def show(client: Client) -> None:
        client.open(f'model/{model}')
        rows = client.within('table.tree tbody tr')
        rows.first.wait_for()
        if row:
            client.search(row)
        photographer.look(client.page)
        rows.first.locator('td:visible').nth(2).dblclick()
        client.settle()
        for page in client.within('.form-notebook .nav-tabs a').all():
            photographer.look(client.page)
            # Not those of a page that has been left
            if page.is_visible():
                page.click()
                client.settle()
        for menu in ['action', 'relate', 'print']:
            photographer.look(client.page)
            button = client.within(f'nav.toolbar button#{menu}')
            if button.is_enabled():
                button.click()
                photographer.look(client.page)
                client.page.keyboard.press('Escape')
    show.__name__ = model
    photographer.visit(login, show)


def read_groups(photographer: Photographer, *texts: str) -> None:
    """Read the names of the groups of users."""
    def show(client: Client) -> None:
        client.open('model/res.group')
        for text in texts:
            client.search(text)
            photographer.look(client.page)
    photographer.visit('admin', show)


def show_preferences(client: Client) -> None:
    # The page that a physician begins with, which is closed before
    client.within('table.tree').first.wait_for()
    client.page.locator('#user-preferences a').first.click()
    client.dialog().wait_for()
    client.press("OK")
    client.dialog().get_by_text("Actions", exact=True).first.wait_for()


def show_schedule(client: Client) -> None:
    client.menu(*RECORDS, "Daily Schedule")
    client.dialog().wait_for()


def show_calendar(client: Client) -> None:
    client.menu(*RECORDS, "Step Calendar")
    client.within('.fc-view').wait_for()


def show_worklist_configuration(client: Client) -> None:
    client.menu(*CONFIGURATION, "Worklist Configuration")
    client.field('day_end').wait_for()


def read_on(photographer: Photographer) -> None:
    """Read what pages of roles name and no picture shows."""
    for login in [
            'physician', 'radiographer', 'clerk', 'administrator', 'privacy',
            'admin']:
        read_menus(photographer, login)
    visit = photographer.visit
    visit('physician', show_preferences)
    for tab in ["To Repeat", "Requested"]:
        visit('physician', show_list(*IMAGING, "My Orders", tab=tab))
    for tab in ["Incomplete", "Overdue", "Rejected"]:
        visit('radiographer', show_list(
                *RECORDS, "Scheduled Steps", tab=tab))
    visit('radiographer', show_schedule)
    visit('radiographer', show_calendar)
    visit('administrator', show_worklist_configuration)
    read_groups(photographer, "Health", "Imaging")
    read_record(
        photographer, 'physician', 'gnuhealth.patient', NAMESAKES[1].puid)
    for login, model in [
            ('clerk', STUDY),
            ('administrator', STUDY),
            ('administrator', 'gnuhealth.imaging_orthanc.series_instances'),
            ('administrator', demo_morning.STEP),
            ('physician', REQUEST),
            ('physician', 'gnuhealth.imaging.test.result'),
            ('admin', 'party.party')]:
        read_record(photographer, login, model)


def read_conditional(demo: Demo) -> set[str]:
    """Return what is on the screen in rare conditions only."""
    demo.server.connect()
    model = demo.server.rpc().model
    found = []
    for name, field in CONDITIONAL_FIELDS:
        definition = getattr(model, name).fields_get([field], {})[field]
        found.append(definition['string'])
        if definition['type'] == 'selection' and isinstance(
                definition['selection'], list):
            found += [label for _, label in definition['selection']]
    for name, button in CONDITIONAL_BUTTONS:
        found += [
            record['string'] for record in getattr(
                model, 'ir.model.button').search_read(
                    [('model.model', '=', name), ('name', '=', button)], 0,
                    None, None, ['string'], {})]
    return {label.lower() for label in found}


def take_role_pictures(photographer: Photographer, folder: Path) -> None:
    """Take the pictures of what a role sees, and of other pages."""
    take = photographer.take
    take('studies', 'clerk', show_list(*RECORDS, "Studies", tab="All"))
    take('to_review', 'clerk', show_list(*RECORDS, "To Review"))
    take('steps', 'radiographer', show_list(*RECORDS, "Scheduled Steps"))
    take('my_orders', 'physician', show_my_orders)
    take('results', 'physician', show_list(*IMAGING, "Results to Report"))
    take('review', 'clerk', show_review)
    take('health', 'administrator', show_list(*CONFIGURATION, "Health"))
    take('upload_result', 'clerk', show_upload(photographer, folder))
    take('study', 'physician', show_linked_study)
    # What has been done until now
    take('audit', 'privacy', show_audit)


def find_unread(photographer: Photographer) -> list[str]:
    """Return the labels that pages name and no screen has shown."""
    everything = set().union(*photographer.read.values())
    unread = []
    for name in ROLE_PAGES:
        text = (DOC / f'{name}.md').read_text()
        unread += [
            f"{name}.md: {label}" for label in labels(text)
            if label.lower().strip(' :.') not in everything]
    for name in JOB_PAGES:
        text = (DOC / 'jobs' / f'{name}.md').read_text()
        seen = photographer.read[name] | photographer.menus
        unread += [
            f"jobs/{name}.md: {label}" for label in labels(text)
            if label.lower().strip(' :.') not in seen]
    return sorted(set(unread))


def main(target: Path) -> int:
    """Take all pictures, and return the exit code."""
    expect.set_options(timeout=TIMEOUT)
    with tempfile.TemporaryDirectory() as name:
        images = Path(name, 'CT')
        images.mkdir()
        with Demo(Path(name, 'demo'), use_postgresql=False) as demo, \
                chromium() as browser:
            demo.start()
            photographer = Photographer(demo, browser, target)
            take_role_pictures(photographer, images)
            read_on(photographer)
            photographer.walk(walk_throughs.prepare(demo, Path(name)))
            photographer.read[None] |= read_conditional(demo)
    unread = find_unread(photographer)
    for label in unread:
        print(f"not on the screen: {label}", file=sys.stderr)
    missing = set(PICTURES) ^ set(photographer.taken)
    for picture in sorted(missing):
        print(f"taken or expected only: {picture}", file=sys.stderr)
    return 1 if unread or missing else 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        prog='./dev screenshots', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'folder', nargs='?', type=Path, default=DOC,
        help="where the pictures are put (default: doc)")
    with stopping_on_signals():
        sys.exit(main(parser.parse_args().folder))
