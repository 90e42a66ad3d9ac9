# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo ends with the same on both sides, and stops."""
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import requests

from devtools import demo_morning, hospital
from devtools.demo_check import MODELS
from devtools.process import wait_until
from devtools.translations import LANGUAGES
from devtools.tryton import ROOT

TIMEOUT = 600


def _demo(*options: object) -> list[str]:
    return [sys.executable, '-m', 'devtools.demo', *map(str, options)]


def count(*fates: str) -> int:
    """Return how many studies were ordered, all or those with a fate."""
    return sum(
        len(order.codes) for order in demo_morning.ORDERS
        if not fates or order.fate in fates)


def all_right(number: int) -> dict[str, int]:
    return {'expected': number, 'found': number, 'wrong': 0}


@pytest.mark.parametrize('options', [
        [], *(pytest.param(options, marks=pytest.mark.release) for options in [
                ['--postgresql'],
                *(['--language', language] for language in LANGUAGES)])],
    ids=str)
def test_check_finds_the_same_on_both_sides(options, tmp_path):
    screenshot = tmp_path / 'studies.png'
    result = subprocess.run(
        _demo('--check', '--screenshot', screenshot, *options), cwd=ROOT,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT)
    found = json.loads(result.stdout.splitlines()[-1])
    assert found['ok'], found
    assert result.returncode == 0
    assert found['gnuhealth'] == found['orthanc']
    assert set(found['orthanc']) == set(MODELS)
    assert found['orthanc']['studies'] > 30
    arriving = count(demo_morning.ARRIVING)
    linked = (
        len(hospital.PATIENTS) + count(demo_morning.IMAGED) + arriving)
    assert found['links'] == all_right(linked)
    assert found['orders'] == all_right(count())
    assert found['worklist'] == all_right(
        count(demo_morning.WAITING, demo_morning.STARTED) - 1)
    assert found['arrivals'] == all_right(arriving)
    assert found['tour'] is True
    assert screenshot.read_bytes().startswith(b'\x89PNG')
    language = options[1] if '--language' in options else 'en'
    # The web client has pt for pt_BR
    assert found['screenshot']['language'] == language.partition('_')[0]


@pytest.fixture
def demo(tmp_path):
    """A demo that is starting."""
    with (tmp_path / 'errors').open('w') as errors:
        process = subprocess.Popen(
            _demo('--folder', tmp_path / 'demo'), cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=errors, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _read_output(process: subprocess.Popen) -> list[str]:
    """Return what the demo prints until all is there."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if 'Ctrl-C' in line:
            return lines
    raise AssertionError("the demo ended")


def _addresses(lines: list[str]) -> list[str]:
    words = [line.split() for line in lines]
    return [
        line[-1] for line in words
        if line and line[0] in {'GNU', 'Orthanc', 'Tour'}]


def _ask(lines: list[str]) -> list[str]:
    """Run the command for the worklist as it is printed; return the names.
    """
    command, = (line for line in lines if 'findscu' in line)
    output = subprocess.run(
        ['sh', '-c', command], stdin=subprocess.DEVNULL, timeout=TIMEOUT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()
    return sorted(re.findall(r'PN \[(.*?) *\]', output))


def _children(pid: int) -> set[int]:
    found = set()
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = path.read_text().rpartition(')')[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.add(int(path.parent.name))
    return found


@pytest.mark.release
def test_modalities_find_the_orders_until_an_interrupt(demo):
    lines = _read_output(demo)
    # The others may have got their images, have no device, or are drafts
    names = Counter(
        order.person.pn for order in demo_morning.ORDERS
        for code in order.codes if code != 'NM-BONE' and order.fate in {
            demo_morning.WAITING, demo_morning.STARTED})
    assert wait_until(
        lambda: Counter(_ask(lines)) >= names, TIMEOUT), _ask(lines)
    assert "Mihon^Hanako" not in ' '.join(_ask(lines))
    _interrupt(demo, _addresses(lines))


def _interrupt(demo: subprocess.Popen, addresses: list[str]) -> None:
    """Stop it, and see that nothing is left."""
    assert len(addresses) == 3
    with requests.Session() as session:
        session.trust_env = False
        for url in addresses:
            session.get(url, timeout=TIMEOUT)
        children = _children(demo.pid)
        assert len(children) >= 3
        demo.send_signal(signal.SIGINT)
        assert demo.wait(TIMEOUT) == 0
        for url in addresses:
            with pytest.raises(requests.ConnectionError):
                session.get(url, timeout=TIMEOUT)
    assert not [pid for pid in children if os.path.exists(f'/proc/{pid}')]
