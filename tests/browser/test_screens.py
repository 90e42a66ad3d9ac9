# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On the screens of clinics nothing that decides is cut or out of sight."""
import pytest
from playwright.sync_api import expect

from .all_screens import ENGLISH, visitor
from .client import ACTIVE
from .clinic import EJEMPLO
from .cut_texts import find_faults

IMAGING = ["Health", "Medical Imaging"]
ORTHANC = [*IMAGING, "Orthanc"]
CONFIGURATION = ["Health", "Configuration", "Medical Imaging", "Orthanc"]
# What of a list reaches over the edge of its page, or is longer than its cell
_CUT = '''list => {
    const edge = list.closest('.treeview').getBoundingClientRect();
    const shown = element => element.offsetParent !== null;
    const cut = [];
    for (const cell of list.querySelectorAll('thead th, tbody td')) {
        if (!shown(cell) || !cell.innerText.trim()) {
            continue;
        }
        const {left, right} = cell.getBoundingClientRect();
        if (left < edge.left - 1 || right > edge.right + 1) {
            cut.push(`outside: ${cell.innerText}`);
        }
        for (const part of [cell, ...cell.querySelectorAll('*')]) {
            if (part.scrollWidth > part.clientWidth + 1 && part.clientWidth) {
                cut.push(`cut: ${cell.innerText}`);
                break;
            }
        }
    }
    return cut;
}'''
# The tabs above a list that reach over its edge
_TABS = '''tabs => {
    const edge = tabs.getBoundingClientRect().right;
    return [...tabs.querySelectorAll('li')].filter(
        tab => tab.getBoundingClientRect().right > edge + 1
    ).map(tab => tab.innerText);
}'''


def expect_whole(client):
    """Neither tabs nor cells of the list are cut."""
    client.within('table.tree tbody tr').first.wait_for()
    client.settle()
    assert client.within('table.tree').first.evaluate(_CUT) == []
    tabs = client.page.locator(f'{ACTIVE} .tab-domain:visible')
    if tabs.count():
        assert tabs.first.evaluate(_TABS) == []


def test_steps(radiographer, clinic):
    clinic.add_order(EJEMPLO, 'MR-KNEE')
    radiographer.menu(*ORTHANC, "Scheduled Steps")
    expect_whole(radiographer)


@pytest.mark.parametrize('tab', ["Today", "All"])
def test_studies(clerk, tab):
    clerk.menu(*ORTHANC, "Studies")
    clerk.filter(tab)
    expect_whole(clerk)


def test_studies_to_review(clerk):
    clerk.menu(*ORTHANC, "To Review")
    expect_whole(clerk)


def test_orders(physician, clinic):
    clinic.add_order(EJEMPLO, 'MR-KNEE')
    physician.menu(*IMAGING, "My Orders")
    physician.filter("All")
    expect_whole(physician)
    expect(physician.filter_count("Draft")).to_be_visible()


def test_servers(administrator):
    administrator.menu(*CONFIGURATION, "Servers")
    expect_whole(administrator)
    administrator.menu(*CONFIGURATION, "Health")
    administrator.within('table.tree tbody tr').first.wait_for()
    administrator.settle()
    assert find_faults(administrator.page) == []


@pytest.mark.parametrize('login', [
        'privacy',
        pytest.param('radiographer', marks=pytest.mark.release),
        pytest.param('physician', marks=pytest.mark.release)])
def test_all_of_a_role(login, clinic, browser):
    """In English, on what the other tests have left."""
    faults = {}

    def seen(client, name):
        if found := find_faults(client.page):
            faults[name] = found
    clinic.add_order(EJEMPLO, 'MR-KNEE')
    with visitor(browser, clinic.server, login, ENGLISH, seen) as guest:
        guest.visit()
    assert faults == {}
