# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both prints as PDF, made by LibreOffice in every language."""
import datetime as dt
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.translations import LANGUAGES
from devtools.tryton import MODULE

from . import printed
from .agent import Agent

pytestmark = pytest.mark.release

TIMEOUT = 120
DAY = dt.date(2026, 3, 4)
ROWS = 60
NAMES = [
    ("Ejemplo Núñez de la Fuente y Martínez-Bordiú", "Juan José Francisco"),
    ("مثال", "ليلى"),
    ("見本", "花子"),
    ("Größer-Müller", "Jürgen"),
    ]


@pytest.fixture(scope='module')
def hospital(prepared_tryton, tmp_path_factory) -> Iterator[Agent]:
    """GNU Health with a long day of a device, and results."""
    tryton = prepared_tryton('sqlite', MODULE).copy('printing')
    with Agent(tryton) as agent:
        for language in LANGUAGES:
            agent.call(printed.load, language)
        agent.call(printed.fill, DAY, NAMES, ROWS)
        yield agent
    tryton.drop()


def _text(content: bytes, folder: Path, *options: str) -> list[str]:
    """Return the text of each page."""
    path = folder / 'print.pdf'
    path.write_bytes(content)
    return subprocess.run(
        ['pdftotext', *options, path, '-'], check=True, capture_output=True,
        text=True, timeout=TIMEOUT).stdout.split('\f')[:-1]


@pytest.mark.parametrize('language', ['en', *LANGUAGES])
def test_the_daily_schedule(hospital, tmp_path, language):
    extension, content, name = hospital.call(
        printed.print_schedule, language, DAY)
    assert extension == 'pdf' and content.startswith(b'%PDF')
    assert not any(part in name for names in NAMES for part in names)
    pages = _text(content, tmp_path, '-layout')
    texts = hospital.call(printed.texts, language, [
        'msg_schedule_urgent', 'msg_schedule_empty', 'msg_print_page'])
    busy = [page for page in pages if 'CT1' in page]
    assert len(busy) > 2
    for page in busy:
        # The head of the table and the number of the page are on each
        assert 'CT · ' in page or '· CT' in page
        assert f"{texts['msg_print_page']} " in page
    assert sum(
        len(re.findall(r'GH\d{8}', page)) for page in busy) == ROWS
    assert sum(
        texts['msg_schedule_urgent'].upper() in page for page in busy)
    empty, = [page for page in pages if 'EMPTY' in page]
    assert texts['msg_schedule_empty'] in empty
    text = '\n'.join(busy)
    for family, given in NAMES[2:]:
        assert family in text and given in text


@pytest.mark.parametrize('language', ['en', *LANGUAGES])
def test_results(hospital, tmp_path, language):
    extension, content, name = hospital.call(printed.print_results, language)
    assert extension == 'pdf' and content.startswith(b'%PDF')
    assert not any(part in name for names in NAMES for part in names)
    pages = _text(content, tmp_path)
    unread, *read = pages
    text = hospital.call(
        printed.texts, language, ['msg_result_unreported'])[
        'msg_result_unreported']
    # In place of the reader and of the finding; what stands across the page
    # is in pieces
    assert ' '.join(unread.split()).count(text) == 2
    assert len(read) > 1
    for page in read:
        assert text not in ' '.join(page.split())
        # Whose finding it is stands on each page
        assert NAMES[3][0] in page
        assert NAMES[0][0].split()[-1] not in page
