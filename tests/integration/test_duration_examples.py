# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Examples of durations, in the units that the web client shows and reads."""
import json
import re
from pathlib import Path

import polib
import pytest

from devtools.translations import LANGUAGES

LOCALE = Path('health_orthanc', 'locale')
EXAMPLE = re.compile(r'\b\d+[A-Za-z](?: \d+[A-Za-z])*(?= ?:)')
UNIT = re.compile('[A-Za-z]')


@pytest.mark.parametrize('language', LANGUAGES)
def test_examples_have_the_units_of_the_client(language, web_client):
    texts = json.loads(_find(web_client, language).read_text('utf-8'))
    checked = set()
    for entry in polib.pofile(str(LOCALE / f'{language}.po')):
        if example := EXAMPLE.search(entry.msgid):
            expected = UNIT.sub(
                lambda unit: texts[unit[0]][-1], example[0])
            assert EXAMPLE.search(entry.msgstr)[0] == expected
            checked.add(example[0])
    assert {'1w', '1M 1d'} <= checked


def _find(client: Path, language: str) -> Path:
    """Return the file that the client reads, which has not all countries."""
    folder = client / 'locale'
    path = folder / f'{language}.json'
    return path if path.exists() else folder / f"{language.split('_')[0]}.json"
