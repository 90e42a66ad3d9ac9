# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import datetime as dt
import re

import pytest
from playwright.sync_api import expect

from devtools.browser import log_in
from devtools.tryton import PASSWORD

from .client import Client
from .clinic import LABEL, TODAY
from .conftest import SCREEN

NAME = "Patient"
MENU = ["Health", "Medical Imaging", "Orthanc", "Studies"]


@pytest.fixture
def studies(clerk):
    "The list of all studies"
    clerk.menu(*MENU)
    clerk.filter("All")
    clerk.cell(NAME, "Verloren, Uwe").wait_for()
    return clerk


def expect_patients(client, *names):
    """The names are shown, each above identifier and birth date."""
    expect(client.column(NAME)).to_have_text(
        [re.compile(rf'^\s*{name}(\s|$)') for name in names])


def test_tabs(clerk, clinic):
    clerk.menu(*MENU)
    clerk.cell(NAME, "Besuch, Ada Maria").wait_for()
    expect(clerk.filter_count("Today")).to_have_text(
        str(clinic.count(
            ('date', '=', TODAY), ('missing_since', '=', None))))
    assert clerk.filter_names() == [
        "Today", "Unlinked", "To Review", "Linked", "Missing", "Dismissed",
        "All"]
    unlinked = clinic.count(
        ('link_status', '=', 'unlinked'), ('missing_since', '=', None))
    expect(clerk.filter_count("Unlinked")).to_have_text(str(unlinked))
    # Orders of other tests may make one more uncertain
    doubtful = clinic.count(
        ('link_status', '=', 'auto_unsure'), ('historical', '=', False),
        ('missing_since', '=', None))
    assert doubtful
    expect(clerk.filter_count("To Review")).to_have_text(str(doubtful))


@pytest.mark.parametrize('zone', ['Europe/Madrid', 'Asia/Kolkata'])
def test_today_is_that_of_the_institution(clinic, browser, zone):
    """Whatever the clock of the machine in front of which one sits."""
    context = browser.new_context(timezone_id=zone, viewport=SCREEN)
    try:
        page = context.new_page()
        log_in(page, clinic.server.url, clinic.tryton.name, 'clerk', PASSWORD)
        client = Client(page, clinic.tryton.name)
        client.menu(*MENU)
        client.cell(NAME, "Phantom, Daily QA").wait_for()
        expect(client.cell(NAME, "Ejemplo")).to_have_count(0)
    finally:
        context.close()


def test_each_tab(clerk):
    clerk.menu(*MENU)
    for tab, inside, outside in [
            ("Unlinked", "Besuch, Ada Maria", "Muster, Erika"),
            ("To Review", "Esimerkki, Aki", "Besuch, Ada Maria"),
            ("Linked", "Ejemplo Núñez, Juan José", "Verloren, Uwe"),
            ("Today", "Phantom, Daily QA", "Ejemplo Núñez, Juan José"),
            ("Missing", "Verloren, Uwe", "Muster, Erika"),
            ("All", "Sample, Kofi", "Nobody"),
            ]:
        clerk.filter(tab)
        clerk.cell(NAME, inside).first.wait_for()
        expect(clerk.cell(NAME, outside)).to_have_count(0)
    clerk.filter("Dismissed")
    clerk.expect_column(NAME)


def test_search(studies):
    for text in [
            "Ada Besuch",
            "03/14/1976",
            "besuch maria",
            "HOSP-88213",
            "ACC-CR-13",
            '"Patient Name": Besuch',
            '"Patient ID": HOSP-88213',
            '"Accession Number": ACC-CR-13',
            ]:
        # All again, that the next one has something to leave out
        studies.search('')
        studies.cell(NAME, "Verloren, Uwe").wait_for()
        studies.search(text)
        expect_patients(studies, "Besuch, Ada Maria")


@pytest.mark.release
def test_search_by_modality(studies):
    studies.search("Modalities: SR")
    expect_patients(studies, "Sample, Kofi")


@pytest.mark.release
def test_search_by_dates(studies):
    first, last = (
        f'{TODAY - dt.timedelta(days):%m/%d/%Y}' for days in (50, 30))
    studies.search(f"Date: {first}..{last}")
    studies.expect_column("Description", "MR Head")


@pytest.mark.release
def test_search_by_server(studies, clinic):
    studies.search("Server: Elsewhere")
    studies.expect_column(NAME)
    studies.search(f"Server: {LABEL}")
    expect(studies.column(NAME)).to_have_count(clinic.count())


@pytest.mark.release
def test_order(studies):
    dates = [
        dt.datetime.strptime(text, '%m/%d/%Y')
        for text in studies.column("Date").all_text_contents()]
    assert dates == sorted(dates, reverse=True)
    studies.sort(NAME)
    names = sorted(
        text.splitlines()[0]
        for text in studies.column(NAME).all_text_contents())
    expect_patients(studies, *names)
    studies.sort(NAME)
    expect_patients(studies, *reversed(names))
