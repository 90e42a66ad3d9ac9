# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo ends with the same on both sides, and stops."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from devtools import hospital
from devtools.demo import MODELS
from devtools.tryton import ROOT

TIMEOUT = 600


def _demo(*options: object) -> list[str]:
    return [sys.executable, '-m', 'devtools.demo', *map(str, options)]


@pytest.mark.parametrize('options', [[], ['--postgresql']], ids=str)
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


def _read_addresses(process: subprocess.Popen) -> dict[str, str]:
    addresses = {}
    for line in process.stdout:
        words = line.split()
        if words and words[0] in {'GNU', 'Orthanc'}:
            addresses[words[0]] = words[-1]
        if 'Ctrl-C' in line:
            return addresses
    raise AssertionError("the demo ended")


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


def test_interrupt_stops_all_that_was_started(demo):
    addresses = _read_addresses(demo)
    assert len(addresses) == 2
    with requests.Session() as session:
        session.trust_env = False
        for url in addresses.values():
            session.get(url, timeout=TIMEOUT)
        children = _children(demo.pid)
        assert len(children) >= 3
        demo.send_signal(signal.SIGINT)
        assert demo.wait(TIMEOUT) == 0
        for url in addresses.values():
            with pytest.raises(requests.ConnectionError):
                session.get(url, timeout=TIMEOUT)
    assert not [pid for pid in children if os.path.exists(f'/proc/{pid}')]
