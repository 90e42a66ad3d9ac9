# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily jobs of each role, done in the demo and counted.

Run as a module, this starts a demo of its own, does each job in a browser
window of 1366 × 768, and prints clicks, keys and seconds as JSON.  It ends
with an error if a job cannot be done, or takes more clicks than its goal.

A job begins when its role has logged in and the menu is unfolded, as the
client keeps it.  Only what a person sees is used: labels, and the keyboard.
A click is counted for each press of the mouse, two for a double click; typing
a text is no click, nor is a key.  Keys that type nothing are counted apart.
"""
import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from proteus import Model

from devtools import hospital, samples
from devtools.browser import chromium, log_in, new_page
from devtools.demo import DATABASE, Demo, say
from devtools.demo_check import STUDY
from devtools.orthanc import to_bytes
from devtools.process import stopping_on_signals, wait_until
from devtools.tryton import PASSWORD

from .client import Client

__all__ = ['JOBS', 'Hospital', 'Job', 'Walk', 'main', 'walk']

IMAGING = ('Health', 'Medical Imaging')
ORTHANC = (*IMAGING, 'Orthanc')
CONFIGURATION = ('Health', 'Configuration', 'Medical Imaging', 'Orthanc')
SIZE = {'width': 1366, 'height': 768}
TIMEOUT = 60_000
REVIEWED = 12
# For all that is sent to be in GNU Health, in seconds
ARRIVAL = 240
# How often the tabulator is pressed at most
TABS = 20
# Whether the box that selects a record has the focus
_IN_ROW = """() => document.activeElement.matches(
    'tbody input[name^="tree-selection"]')"""
MUSTER, EJEMPLO, _, GREEK, _, JAPANESE, *_ = hospital.PATIENTS


class Hands:
    """Mouse and keyboard of a person, which are counted.

    Attributes
    ----------
    clicks : int
    keys : int
        Those that type nothing.

    Parameters
    ----------
    look
        Takes a picture of a page under a name.
    """

    def __init__(
            self, client: Client, look: Callable[[str, Page], None] | None):
        self.client = client
        self.page = client.page
        self.clicks = self.keys = 0
        self._look = look

    def look(
            self, name: str, page: Page | None = None, picture: str = ''
            ) -> None:
        """Let somebody take a picture of the screen.

        Parameters
        ----------
        picture
            What selects an image that has to be there before.
        """
        if self._look:
            self.client.settle()
            if picture:
                self.client.expect_image(self.client.within(picture).first)
            self._look(name, page or self.page)

    def click(self, element: Locator) -> None:
        self.client.settle()
        element.click()
        self.clicks += 1

    def double_click(self, element: Locator) -> None:
        self.client.settle()
        element.dblclick()
        self.clicks += 2

    def press(self, button: str) -> None:
        """Press a button of the dialog or tab in front."""
        self.click(self.client.button(button))

    def menu(self, *names: str) -> None:
        """Choose an entry of the menu, whose branch is unfolded."""
        self.client.menu(*names)
        self.clicks += 1

    def type(self, text: str) -> None:
        """Type where the cursor is."""
        self.client.settle()
        self.page.keyboard.type(text, delay=10)

    def key(self, name: str) -> None:
        self.client.settle()
        self.page.keyboard.press(name)
        self.keys += 1

    def tab_to(self, name: str) -> None:
        """Press the tabulator until the field `name` is reached."""
        self.client.settle()
        self.client.expect_focus()
        focused = 'name => document.activeElement.getAttribute("name") == name'
        for _ in range(TABS):
            if self.page.evaluate(focused, name):
                return
            self.key('Tab')
        raise AssertionError(f"{name} is not reached by keyboard")

    def search(self, text: str) -> None:
        """Search in a list, whose search box the shortcut reaches."""
        self.key('Control+f')
        self.type(text)
        self.key('Enter')

    def open_row(self, text: str) -> None:
        """Open the first record of a list, in which a text is, by keyboard.
        """
        rows = self.client.within('table.tree tbody tr')
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text(text)
        for _ in range(TABS):
            self.key('Tab')
            if self.page.evaluate(_IN_ROW):
                break
        self.key('Space')
        # Shortcuts are not for the box that is ticked
        self.key('Tab')
        self.key('Control+l')

    def choose(self, text: str, record: str) -> None:
        """Type in a field that names a record, and choose the first."""
        self.type(text)
        self.client.within('.dropdown-menu .completion a').get_by_text(
            record, exact=True).first.wait_for()
        self.key('ArrowDown')
        self.key('Enter')


@dataclass
class Hospital:
    """The demo, and what the jobs need in it."""
    demo: Demo
    disc: Path


@dataclass(frozen=True)
class Job:
    """A job of a role.

    Attributes
    ----------
    goal
        The most clicks that it may take.
    branch
        The menu that is unfolded before.
    do
        Does it, and fails if it does not come to its end.
    page
        The page of doc/jobs/ that explains it, if any.
    """
    name: str
    role: str
    goal: int
    branch: tuple[str, ...]
    do: Callable[[Hands, Hospital], None]
    page: str | None = None


@dataclass(frozen=True)
class Walk:
    """How a job went."""
    job: str
    role: str
    clicks: int | None
    keys: int | None
    seconds: float | None
    goal: int
    ok: bool
    error: str | None = None


# --- The jobs -----------------------------------------------------------

def order_ct(hands: Hands, place: Hospital) -> None:
    client = hands.client
    hands.menu(*IMAGING, "Medical Imaging - New order")
    client.dialog().wait_for()
    expect(client.field('doctor').locator('option:checked')).to_have_text(
        "Musterfrau, Cora")
    hands.tab_to('patient')
    hands.choose("Esimerkki", "Esimerkki, Aki")
    client.expect_value('patient', "Esimerkki, Aki")
    hands.click(client.field('tests'))
    hands.choose("CT", "CT of the Head")
    client.expect_column("Name", "CT of the Head")
    hands.look('form')
    hands.press("Request")
    client.expect_column("Study", "CT of the Head")
    hands.look('question')
    hands.press("Request Now")
    client.expect_no_dialog()
    client.expect_column("Worklist", "On the worklist")
    hands.look('orders')


def see_on_worklist(hands: Hands, place: Hospital) -> None:
    hands.menu(*ORTHANC, "Scheduled Steps")
    row = hands.client.within('table.tree tbody tr').filter(
        has_text="Esimerkki, Aki").first
    expect(row).to_contain_text("CT of the Head")
    expect(row).to_contain_text("DEMO-CT")
    expect(row).not_to_contain_text("Fill in")
    expect(row).to_be_in_viewport()
    hands.look('steps')


def find_today(hands: Hands, place: Hospital) -> None:
    hands.menu(*ORTHANC, "Studies")
    for person in ["Muster, Erika", "Ejemplo Núñez, Juan José"]:
        hands.client.cell("Patient", person).first.wait_for()
    expect(hands.client.cell("Patient", "Παράδειγμα")).to_have_count(0)
    hands.look('today')


def view_from_record(hands: Hands, place: Hospital) -> None:
    """Open the record of the patient, and from it the last study."""
    client = hands.client
    hands.menu('Health', "Patients")
    hands.search(EJEMPLO.family)
    hands.open_row(EJEMPLO.puid)
    hands.look('patient')
    hands.click(client.within('.form-notebook .nav-tabs a').get_by_text(
            "Studies", exact=True))
    client.cell("Modalities", "CR").first.wait_for()
    hands.look('studies')
    _view_newest(hands)


def view_from_list(hands: Hands, place: Hospital) -> None:
    hands.menu(*ORTHANC, "Linked Studies")
    hands.search(EJEMPLO.family)
    hands.client.settle()
    _view_newest(hands)


def _view_newest(hands: Hands) -> None:
    with hands.page.context.expect_page() as opened:
        # It is above the others
        hands.click(hands.client.button("View").first)
    viewer = opened.value
    viewer.locator('canvas.cornerstone-canvas').first.wait_for(
        timeout=2 * TIMEOUT)
    hands.look('viewer', viewer)
    viewer.close()


def review(hands: Hands, place: Hospital) -> None:
    client = hands.client
    hands.menu(*ORTHANC, "Review")
    client.dialog().wait_for()
    for number in range(1, REVIEWED + 1):
        expect(client.field('position')).to_have_value(
            re.compile(rf'^{number} of '))
        if number == 1:
            hands.look('review', picture='.form-image img.center-block')
        hands.press("Confirm")
    expect(client.field('position')).to_have_value(
        re.compile(rf'^{REVIEWED + 1} of '))
    hands.press("Close")
    client.expect_no_dialog()


def upload(hands: Hands, place: Hospital) -> None:
    client = hands.client
    hands.menu(*ORTHANC, "Upload Images")
    client.dialog().wait_for()
    client.expect_selected('server_config', "Demo")
    hands.tab_to('patient')
    hands.choose("Παράδειγμα", "Παράδειγμα, Ελένη")
    with client.page.expect_file_chooser() as chooser:
        hands.click(client.dialog().get_by_role("button", name="Folder"))
    chooser.value.set_files(place.disc)
    client.dialog().get_by_text("Received: 3").first.wait_for()
    hands.look('files')
    hands.press("Check")
    client.expect_column("Patient Match", *["Matches"] * 3)
    hands.look('check')
    hands.press("Upload")
    expect(client.column("Linked To")).to_contain_text(["Παράδειγμα"])
    hands.look('linked')
    hands.press("Close")
    client.expect_no_dialog()


def reject_and_order_again(hands: Hands, place: Hospital) -> None:
    client = hands.client
    hands.menu(*ORTHANC, "Scheduled Steps")
    hands.double_click(client.cell("Study", "Chest X-ray").first)
    client.button("Reject").wait_for()
    hands.look('step')
    hands.press("Reject")
    client.dialog().wait_for()
    hands.tab_to('reason')
    hands.type("The patient moved")
    hands.look('reason')
    hands.press("Reject and Order Again")
    client.expect_no_dialog()
    client.field('replaces').wait_for()
    client.expect_selected('state', "Requested")
    hands.look('order')


def add_server(hands: Hands, place: Hospital) -> None:
    """Add a server of which https is believed at first."""
    client, orthanc = hands.client, place.demo.orthanc
    hands.menu(*CONFIGURATION, "Add Orthanc Server")
    client.dialog().wait_for()
    for scheme in ['https', 'http']:
        hands.tab_to('label')
        for name, value in [
                ('label', "Second"),
                # The same address twice would be refused
                ('domain', f'{scheme}://localhost:{orthanc.port}'),
                ('user', orthanc.user), ('password', orthanc.password)]:
            hands.tab_to(name)
            hands.key('Control+a')
            hands.type(value)
        hands.key('Tab')
        if scheme == 'https':
            hands.look('form')
        hands.press("Begin")
        if scheme == 'https':
            expect(client.field('message')).to_have_value(
                re.compile(r'http://'))
            hands.look('https')
            hands.press("Back")
    expect(client.field('message')).to_have_value(re.compile(r'was added'))
    hands.look('added')
    hands.press("Close")
    client.expect_no_dialog()


def find_out_why_unlinked(hands: Hands, place: Hospital) -> None:
    client = hands.client
    hands.menu(*ORTHANC, "To Review")
    hands.click(client.within('.tab-domain a').get_by_text("Unlinked"))
    row = client.within('table.tree tbody tr').filter(
        has_text="Irrtum, Otto").first
    for text in ["Contradiction", "09/09/1999", "Esimerkki", "07/01/1986"]:
        expect(row).to_contain_text(text)
    hands.look('unlinked')


def find_out_why_not_on_worklist(hands: Hands, place: Hospital) -> None:
    hands.menu(*ORTHANC, "Scheduled Steps")
    row = hands.client.within('table.tree tbody tr').filter(
        has_text="Bone Scan")
    expect(row).to_contain_text("Fill in: Station AE Title")
    expect(row).to_be_in_viewport()
    hands.look('steps')


JOBS = [
    Job("Order a CT", 'physician', 6, IMAGING, order_ct, 'order_ct'),
    Job("See that it is on the worklist", 'radiographer', 1, ORTHANC,
        see_on_worklist, 'on_the_worklist'),
    Job("Find today's patients", 'clerk', 1, ORTHANC, find_today,
        'todays_patients'),
    Job("See the last study of a patient in a viewer", 'physician', 3,
        ('Health',), view_from_record, 'last_study'),
    Job("See it from the list of studies", 'physician', 3, ORTHANC,
        view_from_list),
    Job(f"Review {REVIEWED} studies", 'clerk', REVIEWED + 2, ORTHANC,
        review, 'review'),
    Job("Upload a disc for a patient", 'clerk', 5, ORTHANC, upload,
        'upload_a_disc'),
    Job("Reject a study and order it again", 'radiographer', 5, ORTHANC,
        reject_and_order_again, 'order_again'),
    Job("Find out why a study is not linked", 'clerk', 2, ORTHANC,
        find_out_why_unlinked, 'why_not_linked'),
    Job("Find out why the device does not see an order", 'radiographer', 1,
        ORTHANC, find_out_why_not_on_worklist, 'why_not_on_the_worklist'),
    # With two servers, uploads have to choose one
    Job("Add a server, with https to an http port first", 'administrator',
        5, CONFIGURATION, add_server, 'add_a_server'),
    ]


# --- What they need -----------------------------------------------------

def prepare(demo: Demo, folder: Path) -> Hospital:
    """Add to a demo what the jobs need."""
    demo.server.connect()
    _send_suggestions(demo)
    disc = folder / 'disc'
    disc.mkdir()
    for number, dataset in enumerate(samples.make_study(
                'US', GREEK.in_dicom(), series=1, instances=3, rows=32)):
        (disc / f'IM{number}').write_bytes(to_bytes(dataset))
    return Hospital(demo, disc)


def _send_suggestions(demo: Demo) -> None:
    """Send studies that somebody has to look at."""
    for number in range(REVIEWED + 1):
        person = [MUSTER, EJEMPLO, JAPANESE][number % 3]
        demo.orthanc.upload(samples.make_study(
                'US', samples.Patient(person.pn, person.puid, None, None),
                series=1, instances=1, rows=32,
                StudyDescription=f"Suggested {number:02}"))
    Study = Model.get(STUDY)
    assert wait_until(
        lambda: len(Study.find([('link_status', '=', 'auto_unsure')]))
        > REVIEWED, ARRIVAL)


# --- Walking ------------------------------------------------------------

@contextmanager
def _logged_in(browser: Browser, demo: Demo, job: Job) -> Iterator[Client]:
    page = new_page(browser, **SIZE)
    try:
        log_in(page, demo.server.url, DATABASE, job.role, PASSWORD)
        client = Client(page, DATABASE)
        client.unfold(*job.branch)
        client.settle()
        yield client
    finally:
        page.context.close()


def walk(
        browser: Browser, place: Hospital, job: Job,
        screenshots: Path | None = None,
        look: Callable[[str, Page], None] | None = None) -> Walk:
    """Do a job, and return how it went.

    Parameters
    ----------
    screenshots
        Where a picture of the last screen is put.
    look
        Takes pictures on the way: of a page, under a name.
    """
    with _logged_in(browser, place.demo, job) as client:
        hands, error = Hands(client, look), None
        start = time.monotonic()
        try:
            job.do(hands, place)
        except Exception as exception:
            error = f'{type(exception).__name__}: {exception}'
        seconds = round(time.monotonic() - start, 1)
        if screenshots:
            name = re.sub(r'\W+', '-', job.name.lower())
            client.page.screenshot(path=screenshots / f'{name}.png')
    return Walk(
        job.name, job.role, hands.clicks, hands.keys, seconds, job.goal,
        error is None and hands.clicks <= job.goal, error)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='./dev walk-throughs', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--screenshots', type=Path, help="a folder for the last screens")
    parser.add_argument(
        'jobs', nargs='*', help="parts of the names of jobs (default: all)")
    options = parser.parse_args()
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=TIMEOUT)
    jobs = [
        job for job in JOBS
        if not options.jobs or any(p in job.name for p in options.jobs)]
    walks = []
    with tempfile.TemporaryDirectory() as name, \
            Demo(Path(name, 'demo'), use_postgresql=False) as demo, \
            chromium() as browser:
        demo.start()
        place = prepare(demo, Path(name))
        for job in jobs:
            say(job.name)
            walks.append(walk(browser, place, job, options.screenshots))
    ok = all(done.ok for done in walks)
    print(json.dumps(
            {'ok': ok, 'walks': [asdict(done) for done in walks]}, indent=4,
            ensure_ascii=False))
    return 0 if ok else 1


if __name__ == '__main__':
    with stopping_on_signals():
        sys.exit(main())
