# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every screen of the module, and what is cut on it.

Run as a module, this starts a demo of its own, goes as each role through its
menu, tab by tab, through a form of each list, page by page, and through the
first dialog of each wizard.  It puts pictures into a folder, and prints what
is cut or out of sight as JSON.
"""
import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, expect

from devtools.browser import chromium, log_in, new_page
from devtools.demo import Demo, say
from devtools.process import stopping_on_signals
from devtools.translations import LANGUAGES
from devtools.tryton import MODULE, PASSWORD, Server

from .client import Client
from .cut_texts import find_faults

__all__ = [
    'DRAWN', 'ENGLISH', 'ROLES', 'SHIPPED', 'SIZE', 'Visitor', 'WIZARDS',
    'Wizard', 'go_through', 'main', 'speak', 'visitor', 'wizard_names']

ENGLISH = 'en'
SHIPPED = [ENGLISH, *LANGUAGES]
ROLES = ['physician', 'radiographer', 'clerk', 'administrator', 'privacy']
TIMEOUT = 60_000
SIZE = (1366, 768)
# Whose menu entries are gone through: what is ours, and what ours changes
MODULES = ['health_imaging', MODULE]
STUDY = 'gnuhealth.imaging_orthanc.study'
STEP = 'gnuhealth.imaging.procedure.step'
SERVER = 'gnuhealth.orthanc.config'
COMPLAINT = '.warning-dialog:visible, .error-dialog:visible'
# Whether a tab or a dialog is there
_OPENED = '''() => [
    ...document.querySelectorAll('#tablist > li, .modal')
].some(found => found.checkVisibility())'''
# Whether a calendar shows the steps that are found: it looks for them twice,
# and draws them a while after they have come
DRAWN = '''() => {
    const {screen} = Sao.Tab.tabs.get_current() || {};
    const view = screen && screen.current_view;
    if (!view || (view.view_type !== 'calendar')) {
        return true;
    }
    if (view.processing) {
        return false;
    }
    const found = Array.from(screen.group, ({id}) => id);
    const drawn = view.el.fullCalendar('clientEvents').map(
        ({record}) => record.id);
    return (view.el.find('.fc-event').length === found.length) &&
        found.every(id => drawn.includes(id));
}'''
# GNU Health wants a physician
REFUSAL = 'SM-CORE-0007'
# Nothing moves while a picture is taken
STILL = '''* {
    animation: none !important;
    caret-color: transparent !important;
    transition: none !important;
}'''


@dataclass(frozen=True)
class Wizard:
    """A wizard that begins with a dialog.

    Attributes
    ----------
    role
        Who uses it.
    model, domain
        Of the record that it is for, if any.
    """
    name: str
    role: str
    model: str = ''
    domain: tuple = ()

    def path(self, server: Server) -> str:
        """Return what the client opens it by, on a record that fits."""
        path = f'wizard/{self.name}'
        if self.model:
            id_, = getattr(server.rpc(self.role).model, self.model).search(
                list(self.domain), 0, 1, None, {})
            data = {'model': self.model, 'id': id_, 'ids': [id_]}
            path += f';data={json.dumps(data)}'
        return path


_LINKED = (('link_status', 'in', ['auto_secure', 'auto_unsure', 'manual']),)
WIZARDS = [
    Wizard('gnuhealth.patient.imaging.test.request', 'physician'),
    Wizard('gnuhealth.imaging_orthanc.study.dismiss', 'clerk', STUDY,
        (('link_status', '=', 'unlinked'),)),
    Wizard('gnuhealth.orthanc.connect_authorization', 'administrator',
        SERVER),
    Wizard('gnuhealth.orthanc.connect_plugin', 'administrator', SERVER),
    Wizard('gnuhealth.imaging_orthanc.wizard.orthanc_new_connect',
        'administrator'),
    Wizard('gnuhealth.imaging_orthanc.preview', 'clerk',
        'gnuhealth.imaging_orthanc.series_instances'),
    Wizard('gnuhealth.imaging_orthanc.upload_image_data', 'clerk'),
    Wizard('gnuhealth.imaging_orthanc.review_historical', 'administrator'),
    Wizard('gnuhealth.imaging_orthanc.get_new_studies', 'clerk'),
    Wizard('gnuhealth.imaging_orthanc.full_synchronize', 'administrator'),
    Wizard('gnuhealth.imaging_orthanc.mark_wrong_patient', 'clerk', STUDY,
        _LINKED),
    Wizard('gnuhealth.imaging_orthanc.delete_images', 'administrator',
        STUDY),
    Wizard('gnuhealth.orthanc.decide_database', 'administrator', SERVER),
    Wizard('gnuhealth.imaging.procedure.step.reject', 'radiographer', STEP,
        (('state', '=', 'scheduled'),)),
    Wizard('gnuhealth.imaging.print_daily_schedule', 'radiographer'),
    Wizard('gnuhealth.imaging_orthanc.correct_identity', 'administrator',
        STUDY, _LINKED),
    Wizard('gnuhealth.imaging_orthanc.review', 'clerk', STUDY,
        (('link_status', '=', 'auto_unsure'),)),
    Wizard('gnuhealth.imaging_orthanc.confirm_suggestions', 'clerk', STUDY,
        (('link_status', '=', 'auto_unsure'),)),
    ]


def speak(server: Server, logins: Sequence[str], code: str) -> None:
    """Let users see a language, whose texts are loaded where they are not.
    """
    model = server.rpc().model
    Language = getattr(model, 'ir.lang')
    language, = Language.search_read(
        [('code', '=', code)], 0, 1, None, ['translatable'], {})
    if not language['translatable']:
        Language.load_translations([language['id']], {})
    for login in logins:
        getattr(server.rpc(login).model, 'res.user').set_preferences(
            {'language': code}, {})


def wizard_names(server: Server) -> set[str]:
    """Return the names of all wizards of the module that have an action."""
    model = server.rpc().model
    ids = [
        data['db_id'] for data in getattr(model, 'ir.model.data').search_read(
            [('module', '=', MODULE), ('model', '=', 'ir.action.wizard')],
            0, None, None, ['db_id'], {})]
    return {
        action['wiz_name'] for action in getattr(
            model, 'ir.action.wizard').read(ids, ['wiz_name'], {})}


def _menu_paths(server: Server, login: str, language: str
                ) -> Iterator[tuple[str, ...]]:
    """Yield the names of each menu entry that opens something, from the top.
    """
    ids = [
        data['db_id'] for data in getattr(
            server.rpc().model, 'ir.model.data').search_read(
            [('module', 'in', MODULES), ('model', '=', 'ir.ui.menu')],
            0, None, None, ['db_id'], {})]
    context = {'language': language}
    Menu = getattr(server.rpc(login).model, 'ir.ui.menu')
    entries = {
        entry['id']: entry for entry in Menu.search_read(
            [], 0, None, None, ['name', 'parent', 'action'], context)}
    for id_ in sorted(ids):
        if not entries.get(id_, {}).get('action'):
            continue
        path, parent = [], id_
        while parent:
            path.insert(0, entries[parent]['name'])
            parent = entries[parent]['parent']
        yield tuple(path)


class Visitor:
    """Goes through the screens of a role.

    Parameters
    ----------
    client
        Where the role has logged in.
    server
    login, language
        Of the role.
    seen
        Called with the name of each screen when it is there.
    """

    def __init__(
            self, client: Client, server: Server, login: str, language: str,
            seen: Callable[[str], None]):
        self.client = client
        self._server = server
        self._login = login
        self._language = language
        self._seen = seen
        client.page.add_style_tag(content=STILL)

    def visit(self) -> None:
        """Go through all there is."""
        self.visit_menu()
        for wizard in WIZARDS:
            if wizard.role == self._login:
                self.visit_wizard(wizard)

    def _look(self, *names: str) -> None:
        self.client.settle()
        self._expect_no_complaint(*names)
        self.client.page.wait_for_function(DRAWN)
        self._expect_no_complaint(*names)
        self._seen(' / '.join([self._login, *names]))

    def _expect_no_complaint(self, *names: str) -> None:
        complaints = self.client.page.locator(COMPLAINT)
        if complaints.count():
            raise AssertionError(f'{names}: {complaints.all_inner_texts()}')

    # --- The menu -------------------------------------------------------

    def visit_menu(self) -> None:
        paths = list(_menu_paths(
                self._server, self._login, self._language))
        for path in paths:
            self.client.unfold(*path[:-1])
        self._look('menu')
        for path in paths:
            self.visit_entry(path)

    def visit_entry(self, path: Sequence[str]) -> None:
        """Open an entry of the menu, and all that is below it."""
        self.client.menu(*path)
        self.client.page.wait_for_function(_OPENED)
        self.client.settle()
        if self._is_refused():
            return
        if self.client.dialog().count():
            self._look(path[-1])
            self._leave_dialog()
            return
        if self.client.within('.board-action').count():
            self._look(path[-1])
            self._close_tab()
            return
        tabs = self.client.within('.tab-domain a')
        if tabs.count():
            for number in range(tabs.count()):
                tabs.nth(number).click()
                self._look(path[-1], str(number), self._name(tabs.nth(number)))
        else:
            self._look(path[-1])
        self._visit_form(path[-1])
        self._close_tab()

    def _is_refused(self) -> bool:
        """Press OK if GNU Health's wizard wants a physician."""
        complaint = self.client.page.locator(COMPLAINT)
        refused = complaint.filter(has_text=REFUSAL)
        if not refused.count():
            return False
        refused.locator('.modal-footer button').click()
        expect(complaint).to_have_count(0)
        return True

    def _visit_form(self, name: str) -> None:
        """Open the first record that there is, under any of the tabs."""
        tabs = self.client.within('.tab-domain a')
        rows = self.client.within('table.tree > tbody > tr')
        for number in reversed(range(tabs.count() or 1)):
            if rows.count():
                break
            if tabs.count():
                tabs.nth(number).click()
                self.client.settle()
        if not rows.count():
            return
        # A click may hit a link to another record
        rows.first.locator('.selection-state input').check()
        switch = self.client.within('nav.toolbar button#switch_')
        if switch.is_enabled():
            switch.click()
            self.client.within('.form').first.wait_for()
            self._look(name, "form")
            self._visit_pages(name)

    def _visit_pages(self, name: str) -> None:
        """Turn the pages of a form."""
        pages = self.client.within('.form-notebook > .nav-tabs > li > a')
        for number in range(pages.count()):
            pages.nth(number).click()
            self._look(
                name, "form", str(number), self._name(pages.nth(number)))

    def _name(self, tab: Locator) -> str:
        """Return what a tab is called, without the number beside it."""
        return tab.evaluate('tab => tab.firstChild.textContent').strip()

    def _close_tab(self) -> None:
        tabs = self.client.page.locator('#tablist > li')
        while left := tabs.count():
            self.client.settle()
            tabs.last.locator('.close').click()
            self._expect_no_complaint()
            # Nothing was changed, and nobody is asked
            expect(tabs).to_have_count(left - 1)

    # --- Wizards --------------------------------------------------------

    def visit_wizard(self, wizard: Wizard) -> None:
        """Open the first dialog of a wizard, on a record that fits."""
        self.client.open(wizard.path(self._server))
        self.client.dialog().wait_for()
        self._look(wizard.name)
        self._leave_dialog()
        self.client.open('')

    def _leave_dialog(self) -> None:
        while count := self.client.page.locator('.modal:visible').count():
            self.client.settle()
            # The page that has just been opened may take the focus again
            self.client.dialog().locator(
                'button:visible:enabled').last.focus()
            self.client.expect_focus()
            self.client.page.keyboard.press('Escape')
            expect(self.client.page.locator('.modal:visible')).to_have_count(
                count - 1)


@contextmanager
def visitor(
        browser: Browser, server: Server, login: str, language: str,
        seen: Callable[[Client, str], None], size: tuple[int, int] = SIZE
        ) -> Iterator[Visitor]:
    """Log in as a role of the demo, in a window of its own."""
    page = new_page(browser, *size)
    try:
        log_in(page, server.url, server.tryton.name, login, PASSWORD)
        client = Client(page, server.tryton.name)
        yield Visitor(
            client, server, login, language,
            lambda name: seen(client, name))
    finally:
        page.context.close()


def _file_name(name: str) -> str:
    return re.sub(r'\W+', '-', name).strip('-').lower()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='./dev all-screens', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help="where the pictures go to")
    parser.add_argument(
        '--language', default=ENGLISH,
        help=f"one of {', '.join(SHIPPED)}, or another one of Tryton's")
    parser.add_argument('--width', type=int, default=SIZE[0])
    parser.add_argument('--height', type=int, default=SIZE[1])
    parser.add_argument(
        '--role', action='append', choices=ROLES,
        help="only this one; can be given several times")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=TIMEOUT)
    roles = options.role or ROLES
    with tempfile.TemporaryDirectory() as name, \
            Demo(Path(name, 'demo'), use_postgresql=False) as demo, \
            chromium() as browser:
        demo.start()
        faults = go_through(
            browser, demo.server, roles, options.language,
            (options.width, options.height), options.folder)
    print(json.dumps(faults, indent=4, ensure_ascii=False))
    return 1 if faults else 0


def go_through(
        browser: Browser, server: Server, roles: Sequence[str],
        language: str, size: tuple[int, int], folder: Path
        ) -> dict[str, list[str]]:
    """Take pictures of all screens, and return the faults of each."""
    faults: dict[str, list[str]] = {}

    def seen(client: Client, name: str) -> None:
        client.page.screenshot(path=folder / f'{_file_name(name)}.png')
        if found := find_faults(client.page):
            faults[name] = found
    speak(server, roles, language)
    for role in roles:
        say(role)
        with visitor(browser, server, role, language, seen, size) as guest:
            guest.visit()
    return faults


if __name__ == '__main__':
    with stopping_on_signals():
        sys.exit(main())
