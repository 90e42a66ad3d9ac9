# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clerk works through the studies that wait."""
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from proteus import Model

from devtools import samples

from .client import Client
from .clinic import EJEMPLO, KOFI, MUSTER, STUDY, Clinic, study_of

MENU = ["Health", "Medical Imaging", "Orthanc"]
# With one suggestion and two unlinked studies that the clinic has already
SUGGESTIONS, STRANGERS = 6, 3
COUNT = 12
HOSTILE = samples.Patient("<b>Fett</b>^\u202eKurt", None, None, None)
# How often the tabulator is pressed at most
TABS = 10
REASON = "As the physician says"


@pytest.fixture(scope='module')
def clinic(tmp_path_factory) -> Iterator[Clinic]:
    """A clinic of its own: the lists of the other one stay short."""
    with Clinic(tmp_path_factory.mktemp('queue')) as clinic:
        for number in range(SUGGESTIONS):
            person = [MUSTER, EJEMPLO, KOFI][number % 3]
            # Neither birth date nor sex: somebody has to look at it
            clinic.orthanc.upload(study_of(
                    'US', samples.Patient(person.pn, person.puid, None, None),
                    number % 28, 9, series=1, instances=1,
                    StudyDescription=f"Suggested {number:02}"))
        for number in range(STRANGERS):
            patient = HOSTILE if not number else samples.Patient(
                f"Fremd^{number:02}", f'FREMD-{number}', '19500101', 'M')
            clinic.orthanc.upload(study_of(
                    'CR', patient, number, 10, series=1, instances=1,
                    StudyDescription=f"Strange {number:02}"))
        clinic.synchronize()
        yield clinic


@pytest.fixture(scope='module')
def contexts(browser, clinic) -> dict:
    return {}


class Dialog:
    """What a person sees of the review, and does with it."""

    def __init__(self, client: Client):
        self._client = client
        self._page = client.page

    def open(self) -> None:
        self._client.menu(*MENU, "Review")
        self._client.dialog().wait_for()

    def shown(self, number: int) -> str:
        """Return the description of the study with a number of the queue."""
        self._client.expect_value('position', f"{number} of {COUNT}")
        description = self._client.field('study_description')
        expect(description).not_to_have_value('')
        self._client.settle()
        expect(self._client.field('patient')).to_be_focused()
        return description.input_value()

    def reason(self, button: str) -> None:
        """Type a reason where it is asked for, and go on with Enter."""
        expect(self._client.button(button)).to_be_visible()
        expect(self._client.field('study')).not_to_have_value('')
        expect(self._client.field('reason')).to_be_focused()
        self._client.submit_by(
            lambda: self._page.keyboard.press('Enter'), reason=REASON)

    def press(self, key: str) -> None:
        self._client.settle()
        self._page.keyboard.press(key)

    def tab_to(self, button: str) -> None:
        """Press a button that is reached with the tabulator."""
        for _ in range(TABS):
            self._page.keyboard.press('Tab')
            if self._page.evaluate(
                    'document.activeElement.textContent.trim()') == button:
                self.press('Enter')
                return
        raise AssertionError(f"{button} is not reached")


def test_all_that_wait(clerk, clinic):
    dialog, decided = Dialog(clerk), {}
    dialog.open()
    # By mouse
    for number in range(1, 6):
        description = dialog.shown(number)
        if number == 2:
            clerk.press("Unlink")
            dialog.reason("Unlink")
            decided[description] = 'unlinked'
        elif number == 3:
            clerk.press("Dismiss")
            dialog.reason("Dismiss")
            decided[description] = 'dismissed'
        elif number == 4:
            choose_another(clerk, description)
            clerk.press("Confirm")
            expect(clerk.field('vetoes')).to_have_value(
                "The patient ID in the images belongs to another patient.")
            dialog.reason("Link Anyway")
            decided[description] = 'manual'
        elif number == 5:
            clerk.press("Skip")
            decided[description] = 'auto_unsure'
        else:
            clerk.press("Confirm")
            decided[description] = 'manual'
    # By keyboard
    linked = False
    for number in range(6, COUNT + 1):
        description = dialog.shown(number)
        if number <= SUGGESTIONS + 1:
            dialog.press('Enter')
            decided[description] = 'manual'
        elif number == 8:
            dialog.tab_to("Unlink")
            dialog.reason("Unlink")
            decided[description] = 'unlinked'
        elif number == 9:
            dialog.tab_to("Skip")
            decided[description] = 'unlinked'
        elif number >= 10 and not linked and is_of_a_stranger(description):
            linked = True
            clerk.choose('patient', "Sample", "Sample, Kofi")
            clerk.cell("GNU Health", "1938-12-05").wait_for()
            expect(clerk.cell(
                    "Images", f"Fremd, {description[-2:]}")).to_have_count(1)
            dialog.press('Enter')
            dialog.reason("Link Anyway")
            decided[description] = 'manual'
        else:
            dialog.tab_to("Dismiss")
            dialog.reason("Dismiss")
            decided[description] = 'dismissed'
    assert len(decided) == COUNT
    expect(clerk.field('message')).to_have_value(
        "All studies have been reviewed.\n\nConfirmed: 5\nUnlinked: 2\n"
        "Dismissed: 3\nSkipped: 2")
    clerk.press("Close")
    clerk.expect_no_dialog()
    assert {
        study.study_description: study.link_status
        for study in Model.get(STUDY).find([
                ('link_status', '!=', 'auto_certain'),
                ('missing_since', '=', None)])} == decided


# Studies are recorded, and shown, in whichever order Orthanc lists them


def is_of_a_stranger(description: str) -> bool:
    """Return whether a study is of one whose birth date is known."""
    return (
        description.startswith("Strange ") and description != "Strange 00")


def choose_another(client: Client, description: str) -> None:
    """Choose somebody else than the one who is suggested for a study."""
    of_ejemplo = description in {
        f"Suggested {number:02}" for number in range(1, SUGGESTIONS, 3)}
    client.field('patient').fill('')
    if of_ejemplo:
        client.choose('patient', "Sample", "Sample, Kofi")
    else:
        client.choose('patient', "Ejemplo", "Ejemplo Núñez, Juan José")
    expect(client.field('vetoes')).to_be_visible()
