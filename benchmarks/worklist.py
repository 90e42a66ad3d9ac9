# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a modality gets its worklist, in several ways, and at what cost.

Orders are placed in a PostgreSQL database of GNU Health until the asked for
number of steps is open.  The same entries are then served by

- *live*: an Orthanc with the plugin of this project;
- *files*: an Orthanc with its own worklists plugin, over files that
  ``update_worklists_database.py`` has written;
- *wlmscpfs*: DCMTK's server over the same files;
- *bare*: an Orthanc with a plugin that gives it all files from memory, as they
  are: the least that any plugin can take.

*one* and *all* are the wall times of a whole ``findscu`` that asks for one
accession number, and for everything; with all the keys that a console asks
for.

The rest is GNU Health's time over HTTP, as the plugin asks: *unchanged* for a
list that is the same, *one changed* with a step that was edited, *anew* for
all entries from the first on, *render* when none had been rendered before
(once, at the first number of steps the start of the server is in it).  All
figures but the last are medians.  *cpu* is the processor time of GNU Health
and PostgreSQL: where a machine is shared it says more than the seconds.
"""
import argparse
import contextlib
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import requests

from devtools.dicom import RETURN_KEYS, find_worklist, run_findscu
from devtools.orthanc import Orthanc
from devtools.postgresql import PostgreSQL
from devtools.process import (
    Process, free_port, stopping_on_signals, wait_until)
from devtools.testing import cache_folder
from devtools.tryton import MODULE, PASSWORD, ROOT, Tryton, environment

from .processor import load_of, processor_seconds

SIZES = [10, 1000, 10000]
PLUGIN = ROOT / 'orthanc_plugin' / 'health_orthanc.py'
BARE_PLUGIN = ROOT / 'benchmarks' / 'bare_worklist.py'
SCRIPT = ROOT / 'scripts' / 'update_worklists_database.py'
AETITLE = 'ORTHANC'
BATCH = 250
PATIENTS = 500
SERVED_TIMEOUT = 600
FIND_TIMEOUT = 600
WAYS = ['live', 'files', 'wlmscpfs']
EVERYTHING = [f'{path}=' for path in RETURN_KEYS]


class Hospital:
    """GNU Health with orders, inside of this process and as a server."""

    def __init__(self, tryton: Tryton):
        self._tryton = tryton
        tryton.connect()
        with self._transaction() as pool:
            self._common = _make_common(pool)
            server, = pool.get('gnuhealth.orthanc.config').create([{
                        'label': "Benchmark", 'domain': 'http://127.0.0.1:1',
                        'validated': True}])
            self.key = server.new_plugin_key()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[object]:
        from trytond.pool import Pool
        from trytond.transaction import Transaction
        with Transaction().start(
                self._tryton.name, 1,
                context={'_check_access': False}) as transaction:
            yield Pool()
            transaction.commit()

    def order(self, number: int) -> None:
        """Place orders, one step each."""
        for start in range(0, number, BATCH):
            with self._transaction() as pool:
                Request = pool.get('gnuhealth.imaging.test.request')
                now = dt.datetime.now().replace(microsecond=0)
                patients = self._common['patients']
                Request.requested(Request.create([{
                                'patient': patients[i % len(patients)],
                                'date': now + dt.timedelta(minutes=i),
                                **self._common['order'],
                                } for i in range(
                                    start, min(start + BATCH, number))]))

    def last_order(self) -> str:
        """Return the accession number that was given last."""
        with self._transaction() as pool:
            request, = pool.get('gnuhealth.imaging.test.request').search(
                [], order=[('id', 'DESC')], limit=1)
            return request.accession_number

    def edit(self, text: str) -> None:
        """Edit one step."""
        with self._transaction() as pool:
            Step = pool.get('gnuhealth.imaging.procedure.step')
            Step.write(
                Step.search([], order=[('id', 'DESC')], limit=1),
                {'description': text})


def _make_common(pool) -> dict:
    def xml_id(name: str) -> int:
        return pool.get('ir.model.data').get_id('health_imaging', name)

    def person(**values: object) -> object:
        created, = pool.get('party.party').create([{
                    'is_person': True, 'fed_country': 'XXX', **values}])
        return created

    test, = pool.get('gnuhealth.imaging.test').create([{
                'code': 'CT', 'name': "CT of the Head", 'aetitle': 'CT1',
                'test_type': xml_id('gnuhealth_test_type_ctscan'),
                'product': xml_id('product_product_ctscancharges')}])
    party = person(
        name="Cora", lastname="Musterfrau", gender='f', is_healthprof=True)
    doctor, = pool.get('gnuhealth.healthprofessional').create(
        [{'party': party.id}])
    parties = [
        person(
            name=f"Given {i}", lastname=f"Family {i}", gender='fm'[i % 2],
            dob=dt.date(1950, 1, 1), ref=f'PUID{i:05}', is_patient=True)
        for i in range(PATIENTS)]
    patients = pool.get('gnuhealth.patient').create(
        [{'party': p.id} for p in parties])
    return {
        'patients': [p.id for p in patients],
        'order': {'requested_test': test.id, 'doctor': doctor.id}}


class Plugin:
    """Asks GNU Health as the plugin does."""

    def __init__(self, url: str, database: str, key: str):
        self._url = f'{url}/{database}/orthanc/worklist'
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers['Authorization'] = f'bearer {key}'
        self._index, self._etag = 0, None

    def ask(self, since: int | None = None) -> int:
        """Ask for what changed, or from an index on; count what came."""
        found = 0
        index = self._index if since is None else since
        headers = {'If-None-Match': self._etag} if (
            since is None and self._etag) else {}
        while True:
            response = self._session.get(
                self._url, params={'since': index}, headers=headers,
                timeout=SERVED_TIMEOUT)
            if response.status_code == 304:
                return found
            response.raise_for_status()
            page = response.json()
            index, headers = page['index'], {}
            found += len(page['entries'])
            if not page['more']:
                self._index = index
                self._etag = response.headers['ETag']
                return found

    def ask_until(self, number: int) -> None:
        """Ask until all is rendered."""
        deadline = time.monotonic() + SERVED_TIMEOUT
        while self.ask(since=0) < number:
            if time.monotonic() > deadline:
                raise TimeoutError("The steps are not rendered")


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median(repeat: int, function: Callable[[], object]) -> float:
    return statistics.median(timed(function) for _ in range(repeat))


class Bench:
    """All servers, started in `folder`."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack):
        self.files = folder / 'files'
        self.files.mkdir()
        self.postgresql = stack.enter_context(
            PostgreSQL(folder / 'postgresql'))
        self.tryton = Tryton(
            folder / 'tryton', postgresql=self.postgresql,
            name='benchmark')
        self.tryton.create([MODULE], cache_folder())
        self.hospital = Hospital(self.tryton)
        self.server = stack.enter_context(self.tryton.server())
        self.plugin = Plugin(
            self.server.url, self.tryton.name, self.hospital.key)
        self.ports = {
            'live': self._live(stack), 'files': self._files(stack),
            'wlmscpfs': self._wlmscpfs(folder, stack),
            'bare': self._bare(stack)}

    def _live(self, stack: contextlib.ExitStack) -> int:
        self._plugin_host = orthanc = stack.enter_context(Orthanc(
                plugins=['python'], dicom=True, configuration={
                    'DicomAlwaysAllowFindWorklist': True,
                    'PythonScript': str(PLUGIN),
                    'LuaScripts': [str(PLUGIN.with_suffix('.lua'))],
                    'HealthOrthanc': {
                        'Url': self.server.url,
                        'Database': self.tryton.name,
                        'Key': self.hospital.key,
                        'Timeout': SERVED_TIMEOUT,
                        },
                    }))
        # It would have steps rendered while they are ordered
        orthanc.stop()
        return orthanc.dicom_port

    def _files(self, stack: contextlib.ExitStack) -> int:
        orthanc = stack.enter_context(Orthanc(
                plugins=['worklists'], dicom=True, configuration={
                    'DicomAlwaysAllowFindWorklist': True,
                    'Worklists': {
                        'Enable': True, 'Database': str(self.files)},
                    }))
        return orthanc.dicom_port

    def _wlmscpfs(self, folder: Path, stack: contextlib.ExitStack) -> int:
        root = folder / 'wlmscpfs'
        root.mkdir()
        (self.files / 'lockfile').touch()
        (root / AETITLE).symlink_to(self.files)
        port = free_port()
        process = Process(
            ['wlmscpfs', '-dfp', root, str(port)], folder / 'wlmscpfs.log')
        stack.callback(process.stop)
        process.wait_ready(
            lambda: process.listens(port), 30, f"wlmscpfs on port {port}")
        return port

    def _bare(self, stack: contextlib.ExitStack) -> int:
        self._bare_host = orthanc = stack.enter_context(Orthanc(
                plugins=['python'], dicom=True, configuration={
                    'DicomAlwaysAllowFindWorklist': True,
                    'PythonScript': str(BARE_PLUGIN),
                    'BareWorklist': str(self.files),
                    }))
        # It reads the files once
        orthanc.stop()
        return orthanc.dicom_port

    def write_files(self) -> None:
        subprocess.run(
            [sys.executable, SCRIPT, '--no-dump2dcm',
                '-d', self.tryton.name, '-u', 'admin', '-w', self.files,
                '--url', self.server.url],
            env={**environment(), 'TRYTON_PASSWORD': PASSWORD},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    def measure(self, size: int, repeat: int) -> dict[str, float]:
        """Return all figures for as many open steps, in seconds."""
        used = self._processor_seconds()
        figures = {'render': timed(lambda: self.plugin.ask_until(size))}
        figures['render_cpu'] = self._processor_seconds() - used
        self._plugin_host.start()
        figures['unchanged'] = median(repeat, self.plugin.ask)
        changes = iter(range(repeat))

        def change() -> float:
            self.hospital.edit(f"Edited {next(changes)} of {size}")
            return timed(self._ask_one)
        figures['one_changed'] = statistics.median(
            change() for _ in range(repeat))
        used = self._processor_seconds()
        figures['anew'] = median(
            repeat, lambda: self._count(self.plugin.ask(since=0), size))
        figures['anew_cpu'] = (self._processor_seconds() - used) / repeat
        self.write_files()
        for way in WAYS:
            figures.update(self._find(way, size, repeat))
        self._plugin_host.stop()
        self._bare_host.start()
        # The first query has it read the files
        self._count(len(find_worklist(
                    self.ports['bare'], aet=AETITLE, timeout=FIND_TIMEOUT)),
            size)
        figures['bare_all'] = self._time_of(
            self.ports['bare'], EVERYTHING, repeat)
        self._bare_host.stop()
        return figures

    def _processor_seconds(self) -> float:
        "Of GNU Health and its database"
        assert self.server.process and self.postgresql.process
        return sum(map(processor_seconds, [
                    self.server.process.pid, self.postgresql.process.pid]))

    def _ask_one(self) -> None:
        # Orthanc's plugin may be the one that has it rendered
        while not (found := self.plugin.ask()):
            pass
        self._count(found, 1)

    @staticmethod
    def _count(found: int, expected: int) -> None:
        if found != expected:
            raise ValueError(f"{found} entries instead of {expected}")

    def _find(self, way: str, size: int, repeat: int) -> dict[str, float]:
        port = self.ports[way]
        number = self.hospital.last_order()
        if not wait_until(
                lambda: len(find_worklist(
                        port, aet=AETITLE, timeout=FIND_TIMEOUT)) == size,
                SERVED_TIMEOUT, interval=1):
            raise TimeoutError(f"{way} does not serve {size} steps")
        self._count(len(find_worklist(
                    port, {'AccessionNumber': number}, aet=AETITLE)), 1)
        one = [
            key + number if key == 'AccessionNumber=' else key
            for key in EVERYTHING]
        return {
            f'{way}_one': self._time_of(port, one, repeat),
            f'{way}_all': self._time_of(port, EVERYTHING, repeat)}

    @staticmethod
    def _time_of(port: int, keys: Sequence[str], repeat: int) -> float:
        return median(repeat, lambda: run_findscu(
                port, keys, aet=AETITLE, timeout=FIND_TIMEOUT))


def run(sizes: Sequence[int], repeat: int) -> dict:
    results = {
        'cores': os.cpu_count(), 'load': load_of(), 'repeat': repeat,
        'steps': {}}
    with tempfile.TemporaryDirectory(prefix='worklist-') as name, (
            contextlib.ExitStack()) as stack:
        folder = Path(name)
        # PostgreSQL's system user must pass through
        folder.chmod(0o711)
        bench = Bench(folder, stack)
        open_ = 0
        for size in sizes:
            _say(f"Ordering {size - open_}")
            bench.hospital.order(size - open_)
            open_ = size
            _say(f"Measuring {size}")
            results['steps'][size] = bench.measure(size, repeat)
    return results


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def report(results: dict) -> str:
    names = [f'{way}_{name}' for way in WAYS for name in ['one', 'all']] + [
        'bare_all', 'unchanged', 'one_changed', 'anew', 'anew_cpu', 'render',
        'render_cpu']
    sizes = list(results['steps'])
    lines = [
        '| seconds | ' + ' | '.join(f'{size:,}' for size in sizes) + ' |',
        '|---|' + '---:|' * len(sizes)]
    for name in names:
        lines.append(f"| {name.replace('_', ' ')} | " + ' | '.join(
                f"{results['steps'][size][name]:.3f}" for size in sizes)
            + ' |')
    lines.append('| live all / wlmscpfs all | ' + ' | '.join(
            '{live_all:.3f}/{wlmscpfs_all:.3f}'.format(**figures)
            + f" = {figures['live_all'] / figures['wlmscpfs_all']:.2f}"
            for figures in results['steps'].values()) + ' |')
    lines.append('| live all / bare all | ' + ' | '.join(
            f"{figures['live_all'] / figures['bare_all']:.2f}"
            for figures in results['steps'].values()) + ' |')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='./dev bench worklist', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--steps', type=int, nargs='+', default=SIZES,
        help="numbers of open steps, rising (default: %(default)s)")
    parser.add_argument('--repeat', type=int, default=5)
    parser.add_argument(
        '--json', action='store_true', help="print JSON instead of a table")
    options = parser.parse_args()
    results = run(sorted(options.steps), options.repeat)
    print(json.dumps(results, indent=2) if options.json else report(results))


if __name__ == '__main__':
    with stopping_on_signals():
        main()
