# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each picture of the documentation is made by a script, and shown."""
import re
from pathlib import Path

import pytest
from PIL import Image

from devtools.tryton import ROOT
from tests.browser import screenshots, upgrade_screens
from tests.browser.walk_throughs import JOBS

DOC = ROOT / 'doc'
# Of a screen with few colors, or of an X-ray
MAX_SIZE = 200_000
_PICTURE = re.compile(r'!\[([^]]*)\]\(([^)]+\.png)\)')


def pictures() -> dict[str, Path]:
    return {
        path.relative_to(DOC).with_suffix('').as_posix(): path
        for path in DOC.rglob('*.png')}


def shown() -> dict[Path, str]:
    """Return the pictures of all pages, with what they say instead."""
    return {
        (page.parent / target).resolve(): text
        for page in [ROOT / 'README.md', *DOC.rglob('*.md')]
        for text, target in _PICTURE.findall(page.read_text())}


def test_every_picture_is_made_by_a_script():
    upgrade = {f'upgrade/{screen.name}' for screen in upgrade_screens.SCREENS}
    assert set(pictures()) == {*screenshots.PICTURES, *upgrade}


def test_every_picture_is_shown():
    assert set(pictures().values()) == set(shown())
    assert all(
        text for path, text in shown().items()
        if path.parent.name != 'upgrade')


@pytest.mark.parametrize('name', sorted(screenshots.PICTURES))
def test_pictures_are_small_and_of_a_notebook_of_a_clinic(name):
    path = pictures()[name]
    assert path.stat().st_size < MAX_SIZE
    with Image.open(path) as image:
        assert image.size == (1366, 768)
        assert image.mode == 'P'


def test_every_job_has_a_page():
    pages = {path.stem for path in (DOC / 'jobs').glob('*.md')} - {'index'}
    assert pages == set(screenshots.JOB_PAGES) == set(screenshots.LOOKS)
    assert len(pages) == 10
    index = (DOC / 'jobs' / 'index.md').read_text()
    goals = dict(re.findall(
        r'\]\((\w+)\.md\) \| [^|]+ \| (\d+)', index))
    assert set(goals) == pages
    for job in JOBS:
        if job.page and 'for each' not in index.split(
                f'({job.page}.md)')[1].partition('\n')[0]:
            assert int(goals[job.page]) <= job.goal


def test_labels_are_found_in_a_page():
    assert screenshots.labels(
        "Press *Check*.\n*Health →\nOrders* **bold** `*code*` "
        "[*Upload*](x.md)") == ['Check', 'Health', 'Orders', 'Upload']
