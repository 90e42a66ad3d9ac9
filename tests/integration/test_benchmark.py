# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark runs, and what does not depend on the machine is bounded."""
import json
import subprocess
import sys

import pytest

from devtools.process import die_with_parent
from devtools.tryton import ROOT, environment

# test_synchronization_bounds has bounds of each kind of run
pytestmark = pytest.mark.release

TIMEOUT = 600
SHAPE = {'studies': 100, 'series': 3, 'instances': 10}
RUNS = {
    'first_full', 'first_incremental', 'nothing_new_full',
    'nothing_new_incremental', 'new_studies', 'listing',
    'listing_without_instances', 'floor'}
FIRST = ['first_full', 'first_incremental']


def run(name: str, *options: str) -> dict:
    process = subprocess.run(
        [sys.executable, '-m', f'benchmarks.{name}', '--repeat=1', '--json',
            *options],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True,
        timeout=TIMEOUT, preexec_fn=die_with_parent())
    return json.loads(process.stdout)


@pytest.fixture(scope='module')
def result() -> dict:
    return run('sync', *(
            f'--{name}={number}' for name, number in SHAPE.items()))


def test_all_is_measured(result):
    assert result['archive'] == {
        'patients': 100, 'studies': 100, 'series': 300, 'instances': 3000}
    assert result['new'] == {
        'patients': 20, 'studies': 20, 'series': 60, 'instances': 600}
    assert result['cores'] >= 1
    assert set(result['runs']) == RUNS
    for name, figures in result['runs'].items():
        expected = {'seconds', 'cpu', 'requests', 'memory'}
        if not name.startswith('listing'):
            expected.add('statements')
        assert set(figures) == expected
        assert figures['seconds'] > 0
        assert figures['requests'] > 0
    assert set(result['ratios']) == {*FIRST, 'nothing_new_full'}


@pytest.mark.parametrize('name', FIRST)
def test_first_run_is_bounded(result, name):
    ratios = result['ratios'][name]
    assert ratios['requests_per_10000_instances'] <= 30
    assert ratios['records_per_statement'] >= 20
    assert result['runs'][name]['memory'] < 60 * 2**20


def test_nothing_new_is_one_request(result):
    assert result['runs']['nothing_new_incremental']['requests'] == 1


def test_new_studies_need_few_requests(result):
    figures = result['runs']['new_studies']
    assert figures['requests'] <= 5
    assert sum(result['new'].values()) / figures['statements'] >= 5


def test_worklists_are_measured():
    # Wrong numbers of answers would make it fail
    figures = run('worklist', '--steps', '1', '3')['steps']
    assert set(figures) == {'1', '3'}
    expected = {
        f'{way}_{name}' for way in ['live', 'files', 'wlmscpfs']
        for name in ['one', 'all']}
    expected |= {
        'bare_all', 'unchanged', 'one_changed', 'anew', 'anew_cpu', 'render',
        'render_cpu'}
    for size in figures.values():
        assert set(size) == expected
        # A processor counts in hundredths
        assert all(
            seconds > 0 for name, seconds in size.items()
            if not name.endswith('_cpu'))


def test_viewing_is_measured():
    result = run('viewing', '--instances=6', '--rows=64', '--viewers=2')
    assert result['ways'].keys() == {
        f'{way} {count}' for way in ['orthanc', 'python', 'nginx', 'copy']
        for count in [1, 2]}
    for figures in result['ways'].values():
        assert 0 < figures['metadata'] < figures['first']
        assert figures['first'] < figures['seconds']


def test_studies_find_their_patients_in_a_database():
    process = subprocess.run(
        [sys.executable, '-m', 'benchmarks.linking', '--postgresql',
            '--patients=2000', '--pairs=200', '--json'],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE,
        timeout=TIMEOUT, preexec_fn=die_with_parent())
    # That it took too long on this machine is no failure
    result = json.loads(process.stdout)
    assert (result['patients'], result['pairs']) == (2000, 200)
    assert result['false_certain'] == 0
    for name, least in [('certain', 0.98), ('rank_1', 0.98), ('found', 0.99)]:
        share, of = result[name]
        assert share >= least
        assert of > 50
    assert result['milliseconds']['searching']['median'] > 0
    assert result['seconds_for_keys'] > 0
