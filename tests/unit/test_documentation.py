# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links between the pages of the documentation, and its drawing."""
import re
from pathlib import Path

import pytest

from devtools import rooms
from devtools.tryton import ROOT

from . import test_rooms

README = ROOT / 'README.md'
CONTRIBUTING = ROOT / 'CONTRIBUTING.md'
PAGES = sorted([
        README, CONTRIBUTING, *ROOT.glob('doc/**/*.md'),
        *ROOT.glob('benchmarks/*.md')])
_LINK = re.compile(r'!?\[[^]]*\]\(([^)]+)\)')
_CODE = re.compile(r'```.*?```|`[^`]*`', re.DOTALL)


def links(page: Path) -> list[tuple[Path, str]]:
    """Return the files that a page links to, and the anchors in them."""
    found = []
    for target in _LINK.findall(_CODE.sub('', page.read_text())):
        if '://' not in target:
            name, _, anchor = target.partition('#')
            found.append(
                ((page.parent / name).resolve() if name else page, anchor))
    return found


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as forges make them."""
    headings = re.findall('^#+ (.+)$', page.read_text(), re.MULTILINE)
    return {
        re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-')
        for heading in headings}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target, anchor in links(page):
        assert target.exists()
        assert not anchor or anchor in anchors(target), anchor


def test_every_page_is_named_where_people_begin():
    text = README.read_text() + CONTRIBUTING.read_text()
    pages = {name(page) for page in PAGES if page.parent.name == 'doc'}
    assert len(pages) > 15
    assert {page for page in pages if page not in text} == set()


def test_drawing_shows_all_rooms():
    assert set(rooms.ROOMS) == {*test_rooms.ROOMS, *test_rooms.ABOVE_ALL}


def test_drawing_shows_the_arrows_of_the_sources():
    assert rooms.DRAWING.read_text() == rooms.draw(), (
        "python -m devtools.rooms draws it")


def test_arrows_that_follow_from_others_are_left_out():
    assert rooms.reduced({'a': {'b', 'c'}, 'b': {'c'}}) == [
        ('a', 'b'), ('b', 'c')]
