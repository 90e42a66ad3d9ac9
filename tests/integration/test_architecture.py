# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walks of doc/architecture.md are those that the product takes."""
import json
import re
import subprocess
import sys

import pytest

from devtools.tryton import MODULE, ROOT

DOCUMENT = ROOT / 'doc' / 'architecture.md'
TIMEOUT = 900
TITLES = {
    "A study from `/changes` to the patient's tab": 'study',
    "An order from *Request* to a C-FIND answer": 'order',
    "A notification to a completed step": 'notification',
    "A file from the browser to a linked study": 'upload',
    }
# Fewer would leave out a room
LEAST = 15
_STEP = re.compile(r'(\d+)\. `([\w/]+\.py): ([\w.]+)`')


def read_walks() -> dict[str, list[tuple[int, str]]]:
    """Return numbers and functions of each walk, by its name."""
    walks = {}
    for section in DOCUMENT.read_text().split('\n### ')[1:]:
        title, _, text = section.partition('\n')
        if title in TITLES:
            walks[TITLES[title]] = [
                (int(number), f'{file}:{function}')
                for number, file, function in _STEP.findall(text)]
    return walks


WALKS = read_walks()


# Orthanc may report a study before all of it is there: then it is matched
# twice, and functions come in another order
RECORDINGS = 4


def record() -> dict[str, list[str]]:
    ended = subprocess.run(
        [sys.executable, '-m', 'tests.integration.recorded_walks'],
        cwd=ROOT, stdout=subprocess.PIPE, timeout=TIMEOUT, check=True)
    return {
        name: [function.removeprefix(f'{MODULE}/') for function in functions]
        for name, functions in json.loads(ended.stdout).items()}


@pytest.fixture(scope='module')
def recordings() -> list[dict[str, list[str]]]:
    """Those made so far."""
    return [record()]


def bare(function: str) -> str:
    """Return a function without its class, as Python 3.10 names it."""
    file, _, name = function.partition(':')
    return f'{file}:{name.rpartition(".")[2]}'


def test_all_walks_are_described():
    assert set(WALKS) == set(TITLES.values())
    for walk in WALKS.values():
        assert len(walk) >= LEAST
        assert [number for number, _ in walk] == list(
            range(1, len(walk) + 1))


@pytest.mark.parametrize('name', [
        # Whether Orthanc reports the study before or after it is stable
        # changes the order, more often than not on a quiet machine
        pytest.param(
            name, marks=[pytest.mark.release] * (name == 'notification'))
        for name in WALKS])
def test_a_walk_is_as_described(recordings, name):
    described = [function for _, function in WALKS[name]]
    if sys.version_info < (3, 11):
        described = list(map(bare, described))
    assert [f for f in described if f not in recordings[0][name]] == []

    def is_in_order():
        return any(
            described == sorted(described, key=recorded[name].index)
            for recorded in recordings
            if set(described) <= set(recorded[name]))
    while not is_in_order() and len(recordings) < RECORDINGS:
        recordings.append(record())
    assert is_in_order()
