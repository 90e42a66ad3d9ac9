# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``custom.js`` adds to the web client has no obstacles (axe-core)."""
import pytest

from devtools import javascript
from devtools.testing import cache_folder

from .test_upload import WIDGET, Form, images

ORTHANC = ["Health", "Medical Imaging", "Orthanc"]
CONFIGURATION = ["Health", "Configuration", "Medical Imaging", "Orthanc"]
# Each violation with its elements
_CHECK = '''async selector => {
    const {violations} = await axe.run(
        {include: [selector]}, {
            resultTypes: ['violations'],
            // SAO gives the same key to the same button of all rows
            rules: {accesskeys: {enabled: false}},
        });
    return violations.map(found => [
        found.id, found.help, found.nodes.map(node => node.html)]);
}'''


@pytest.fixture(scope='module')
def checker() -> str:
    return javascript.accessibility_checker(cache_folder())


def expect_no_violation(client, checker: str, selector: str) -> None:
    """No element below `selector`, of which there is one, is an obstacle."""
    client.settle()
    client.page.evaluate(checker)
    assert client.page.locator(selector).count()
    assert client.page.evaluate(_CHECK, selector) == []


def test_upload(clerk, checker, tmp_path):
    form = Form(clerk)
    form.open()
    expect_no_violation(clerk, checker, WIDGET)
    broken = tmp_path / 'broken.dcm'
    broken.write_bytes(b'no image')
    form.choose([*images(tmp_path / 'images', 3, 'AXE-1'), broken])
    form.expect_told("Received: 3")
    expect_no_violation(clerk, checker, WIDGET)


def test_list_of_studies(clerk, checker):
    clerk.menu(*ORTHANC, "Studies")
    clerk.filter("All")
    rows = clerk.within('table.tree > tbody > tr')
    rows.first.wait_for()
    for cell in ['td[data-title="Patient: "]', 'td.button-cell, td button']:
        if clerk.page.locator(f'{cell}:visible').count():
            expect_no_violation(clerk, checker, cell)


def test_template(administrator, checker):
    administrator.menu(*CONFIGURATION, "Worklist Templates")
    rows = administrator.within('table.tree > tbody > tr')
    rows.first.locator('.selection-state input').check()
    administrator.within('nav.toolbar button#switch_').click()
    administrator.field('template').first.wait_for()
    expect_no_violation(
        administrator, checker, '.form-text:has(textarea[wrap="off"])')
