# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of the documentation, their site, and what is drawn or written.
"""
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from devtools import conformance, documentation, rooms
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


def test_site_is_made_without_a_warning(tmp_path):
    documentation.build(tmp_path)
    index = (tmp_path / documentation.INDEX).read_text()
    for page in ROOT.glob('doc/**/*.md'):
        address = page.relative_to(ROOT / 'doc').with_suffix('.html')
        assert (tmp_path / 'doc' / address).exists()
        beside = (tmp_path / 'doc' / address).with_name('index.html')
        assert (
            f'href="{address}"' in index or page.stem == 'index'
            or f'href="{address.name}"' in beside.read_text())


def test_wrong_links_are_warnings(tmp_path, monkeypatch, capfd):
    """Of the site, so that links of pages need no test of their own."""
    (tmp_path / 'pyproject.toml').write_text('version = "1"\n')
    doc = tmp_path / 'doc'
    doc.mkdir()
    (doc / 'conf.py').write_bytes((ROOT / 'doc' / 'conf.py').read_bytes())
    (doc / 'index.md').write_text(
        "# Title\n\n[a](nowhere.md) [b](index.md#no-heading)\n")
    monkeypatch.setattr(documentation, 'ROOT', tmp_path)
    monkeypatch.setattr(documentation, 'CONFIGURATION', doc)
    with pytest.raises(subprocess.CalledProcessError):
        documentation.build(tmp_path / 'site')
    warnings = capfd.readouterr().err
    assert 'nowhere.md' in warnings and 'no-heading' in warnings


def test_conformance_statement_says_what_is_done():
    assert conformance.PAGE.read_text() == conformance.updated(), (
        "python -m devtools.conformance writes it")


def quoted_messages() -> list[str]:
    """Return the first column of the tables of messages."""
    page = (ROOT / 'doc' / 'troubleshooting.md').read_text()
    tables = re.findall(
        r'^\| Message \|.*\n\| --- .*\n((?:\|.*\n)+)', page, re.MULTILINE)
    return [
        row.split(' | ')[0].strip('| ') for table in tables
        for row in table.splitlines()]


def test_messages_of_troubleshooting_exist():
    tree = ElementTree.parse(ROOT / 'health_orthanc' / 'message.xml')
    texts = [
        ' '.join(field.text.split()) for field in tree.iter('field')
        if field.get('name') == 'text' and field.text]
    quoted = quoted_messages()
    assert len(quoted) > 60
    unknown = [
        quote for quote in quoted
        if not any(
            re.search('.*'.join(map(re.escape, quote.split(' … '))), text)
            for text in texts)]
    assert unknown == []


def test_drawing_shows_all_rooms():
    assert set(rooms.ROOMS) == {*test_rooms.ROOMS, *test_rooms.ABOVE_ALL}


def test_drawing_shows_the_arrows_of_the_sources():
    assert rooms.DRAWING.read_text() == rooms.draw(), (
        "python -m devtools.rooms draws it")


def test_arrows_that_follow_from_others_are_left_out():
    assert rooms.reduced({'a': {'b', 'c'}, 'b': {'c'}}) == [
        ('a', 'b'), ('b', 'c')]
