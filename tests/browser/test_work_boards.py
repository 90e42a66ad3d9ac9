# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard of each role fits a small screen, and its graphs are drawn."""
import pytest
from playwright.sync_api import expect

from .clinic import EJEMPLO

DASHBOARDS = ["Health", "Medical Imaging", "Dashboards"]
BOARDS = {
    'physician': "Physician",
    'radiographer': "Radiographer",
    'clerk': "Clerk",
    'administrator': "Administrator",
    }
# What of the panels is out of sight or cut
_CUT = '''board => {
    const cut = [];
    for (const panel of board.querySelectorAll('.board-action')) {
        const {right, bottom} = panel.getBoundingClientRect();
        const title = panel.querySelector('.panel-heading');
        if (right > window.innerWidth || bottom > window.innerHeight) {
            cut.push(`outside: ${title.innerText} ${right} ${bottom}`);
        }
        if (title.scrollWidth > title.clientWidth) {
            cut.push(`cut: ${title.innerText}`);
        }
    }
    return cut;
}'''


def open_board(client, name):
    client.menu(*DASHBOARDS, name)
    client.within('.board-action').first.wait_for()
    client.settle()


@pytest.mark.parametrize('login', BOARDS)
def test_it_fits(log_in_as, clinic, login):
    clinic.add_order(EJEMPLO, 'CT-HEAD')
    client = log_in_as(login)
    open_board(client, BOARDS[login])
    expect(client.within('.board-action')).to_have_count(4)
    for graph in client.within('.board .graph').all():
        expect(graph.locator('svg')).to_be_visible()
    assert client.within('.board').evaluate(_CUT) == []


def test_department(administrator):
    open_board(administrator, "Department")
    expect(administrator.within('.board-action')).to_have_count(4)
    expect(administrator.within('.board .graph svg')).to_have_count(4)
    assert administrator.within('.board').evaluate(_CUT) == []


@pytest.mark.parametrize('login, names', [
        ('physician', ["Physician"]),
        ('radiographer', ["Radiographer"]),
        ('clerk', ["Radiographer", "Clerk"]),
        ('administrator', [
                "Radiographer", "Clerk", "Administrator", "Department"]),
        ])
def test_each_role_has_its_own(log_in_as, login, names):
    assert log_in_as(login).entries(*DASHBOARDS) == names


def panel(client, title):
    return client.within('.board-action').filter(
        has=client.page.locator('.panel-heading', has_text=title))


def test_panels_show_what_they_are_for(physician, clinic):
    step = clinic.add_order(EJEMPLO, 'CT-HEAD')
    open_board(physician, "Physician")
    waiting = panel(physician, "My Orders That Wait")
    expect(waiting.locator('tbody tr')).not_to_have_count(0)
    expect(waiting).to_contain_text("CT of the Head")
    # The state of a new order is another
    drafts = panel(physician, "My Drafts")
    expect(drafts).to_contain_text("You have no drafts")
    expect(drafts.locator('tbody tr')).to_have_count(0)
    # The newest comes first; its texts may come after those of the others
    newest = waiting.locator('tbody tr').first
    expect(newest).to_contain_text("CT of the Head")
    expect(newest).to_contain_text(EJEMPLO.puid)
    newest.dblclick()
    physician.dialog().wait_for()
    expect(physician.field('accession_number')).to_have_value(
        step.request.accession_number)


def test_empty_lists_say_what_would_be_here(radiographer):
    radiographer.menu(*DASHBOARDS[:-1], "Orthanc", "Scheduled Steps")
    radiographer.filter("Overdue")
    empty = radiographer.within('.treeview [role=status]')
    expect(empty).to_have_text(
        "No step is overdue. Steps that were not performed in time appear "
        "here.")
    radiographer.search("Nobody of this name")
    expect(empty).to_have_text(
        "Nothing fits the search. Clear it to see the whole list.")
    radiographer.search("")
    radiographer.filter("All")
    radiographer.within('table.tree tbody tr').first.wait_for()
    expect(empty).to_be_hidden()
