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
    if client.within('.board .graph').count():
        expect(client.within('.board .graph svg')).to_be_visible()
    client.page.screenshot(path=f'/tmp/wt/calendar/.cache/board-{login}.png')
    assert client.within('.board').evaluate(_CUT) == []


def test_department(administrator):
    open_board(administrator, "Department")
    expect(administrator.within('.board-action')).to_have_count(4)
    expect(administrator.within('.board .graph svg')).to_have_count(4)
    administrator.page.screenshot(
        path='/tmp/wt/calendar/.cache/board-department.png')
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


def test_empty_lists_say_what_to_do(radiographer):
    radiographer.menu("Health", "Medical Imaging", "Orthanc", "Scheduled Steps")
    radiographer.filter("Rejected")
    radiographer.page.screenshot(path='/tmp/wt/calendar/.cache/empty.png')
