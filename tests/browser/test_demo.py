# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo ends with the same on both sides, and stops."""
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from devtools import hospital
from devtools.demo import MODELS
from devtools.process import wait_until
from devtools.translations import LANGUAGES
from devtools.tryton import ROOT

TIMEOUT = 600


def _demo(*options: object) -> list[str]:
    return [sys.executable, '-m', 'devtools.demo', *map(str, options)]


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
    assert found['links'] == {
        'expected': len(hospital.PATIENTS), 'found': len(hospital.PATIENTS),
        'wrong': 0}
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
        line[-1] for line in words if line and line[0] in {'GNU', 'Orthanc'}]


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
    # Of those that `hospital.place_orders` requests, not of the draft
    muster, ejemplo, _, greek, *_ = hospital.PATIENTS
    names = sorted(person.pn for person in [muster, muster, ejemplo, greek])
    assert wait_until(lambda: _ask(lines) == names, TIMEOUT), _ask(lines)
    _interrupt(demo, _addresses(lines))


def _interrupt(demo: subprocess.Popen, addresses: list[str]) -> None:
    """Stop it, and see that nothing is left."""
    assert len(addresses) == 2
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
