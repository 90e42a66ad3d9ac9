# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to send images through GNU Health instead of to Orthanc.

The same files are sent

- *orthanc*: straight to Orthanc, by ``curl``;
- *route*: by ``curl`` to the route of this module, which sends them on;
- *packed*: all at once through the wizard, in the packed form of the clients
  (as many as ``--packed`` MiB, for it takes several times their size in
  memory).

One file after the other, each by a request of its own but in the packed form.
*memory* is how far GNU Health's server grows meanwhile.  Orthanc is emptied
before each run; all that was sent must be there after it.  The figures are
medians of the runs, which alternate.
"""
import argparse
import base64
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests
from pydicom.uid import generate_uid

from devtools.orthanc import Orthanc
from devtools.postgresql import PostgreSQL
from devtools.process import stopping_on_signals
from devtools.samples import make_study
from devtools.testing import cache_folder
from devtools.tryton import MODULE, PASSWORD, Server, Tryton
from tests.unit.upload_samples import pack

MIB = 2**20
USER = 'admin'
WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'
GROUP = 'health_orthanc.group_imaging_orthanc'
# Of a run, in seconds
TIMEOUT = 900


class Archive:
    """The files that are sent.

    Parameters
    ----------
    size : int
        Bytes of pixels in each.
    """

    def __init__(self, folder: Path, count: int, size: int):
        self.paths = [folder / f'{number}.dcm' for number in range(count)]
        dataset, = make_study('CT', series=1, instances=1, rows=16)
        # 16 bits a pixel
        dataset.Rows, dataset.Columns = size // 2**16, 2**15
        dataset.PixelData = os.urandom(size)
        for path in self.paths:
            dataset.SOPInstanceUID = generate_uid()
            dataset.file_meta.MediaStorageSOPInstanceUID = (
                dataset.SOPInstanceUID)
            dataset.save_as(path, enforce_file_format=True)

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.paths)


class Memory:
    """How far the memory of a process has grown since this was made."""

    def __init__(self, pid: int):
        self._folder = Path(f'/proc/{pid}')
        (self._folder / 'clear_refs').write_text('5')
        self._start = self._read('VmRSS')

    @property
    def growth(self) -> int:
        return max(0, self._read('VmHWM') - self._start)

    def _read(self, name: str) -> int:
        status = (self._folder / 'status').read_text()
        line, = [
            line for line in status.splitlines() if line.startswith(name)]
        return 1024 * int(line.split()[1])


class Ways:
    """The three ways that files take to an Orthanc."""

    def __init__(self, server: Server, orthanc: Orthanc):
        self._server = server
        self._orthanc = orthanc
        with proteus_of(server) as Model:
            self._id = add_server(orthanc, Model)
        self._session = self._log_in()

    def orthanc(self, archive: Archive) -> None:
        login = f'{self._orthanc.user}:{self._orthanc.password}'
        self._curl(
            archive, f'{self._orthanc.url}/instances',
            f'Basic {base64.b64encode(login.encode()).decode()}')

    def route(self, archive: Archive) -> None:
        self._curl(
            archive,
            f'{self._server.url}/{self._server.tryton.name}/orthanc/upload'
            f'?server={self._id}', self._session)

    def _log_in(self) -> str:
        """Return the authorization of a client that has logged in.

        A password would be checked for each file, which takes time and 64 MiB
        on purpose.
        """
        answer = requests.post(
            f'{self._server.url}/{self._server.tryton.name}/', json={
                'id': 0, 'method': 'common.db.login',
                'params': [USER, {'password': PASSWORD}]},
            timeout=TIMEOUT).json()
        user, session, *_ = answer['result']
        login = f'{USER}:{user}:{session}'
        return f'Session {base64.b64encode(login.encode()).decode()}'

    def packed(self, archive: Archive) -> None:
        with proteus_of(self._server):
            from proteus import Wizard
            wizard = Wizard(WIZARD)
            wizard.form.data_to_upload = pack(
                path.read_bytes() for path in archive.paths)
            wizard.execute('check')
            wizard.execute('send')
            assert {file.state for file in wizard.form.files} == {'stored'}

    @staticmethod
    def _curl(archive: Archive, url: str, authorization: str) -> None:
        # The arguments of a command are not for secrets
        with tempfile.NamedTemporaryFile('w', suffix='.conf') as options:
            lines = [
                'silent', 'show-error', 'fail', 'noproxy = "*"',
                'output = "/dev/null"',
                f'header = "Authorization: {authorization}"',
                'header = "Content-Type: application/dicom"',
                'header = "Expect:"']
            options.write('\n'.join(lines))
            options.flush()
            for path in archive.paths:
                # curl streams a file that it is told to upload
                subprocess.run(
                    ['curl', '--config', options.name, '--request', 'POST',
                        '--upload-file', path, url],
                    check=True, timeout=TIMEOUT)


@contextlib.contextmanager
def proteus_of(server: Server) -> Iterator[type]:
    from proteus import Model
    server.connect()
    yield Model


def add_server(orthanc: Orthanc, Model: type) -> int:
    """Return the id of the record of an Orthanc."""
    from proteus import Wizard
    wizard = Wizard('gnuhealth.imaging_orthanc.wizard.orthanc_new_connect')
    wizard.form.label = "Benchmark"
    wizard.form.domain = orthanc.url
    wizard.form.user = orthanc.user
    wizard.form.password = orthanc.password
    wizard.execute('connect')
    wizard.execute('end')
    server, = Model.get('gnuhealth.orthanc.config').find([])
    return server.id


def measured(
        send: Callable[[Archive], None], archive: Archive, server: Server,
        orthanc: Orthanc) -> dict[str, float]:
    """Return seconds, bytes a second and growth of memory of a run."""
    orthanc.clear()
    memory = Memory(server.process.pid)
    start = time.perf_counter()
    send(archive)
    seconds = time.perf_counter() - start
    found = orthanc.counts()['instances']
    if found != len(archive.paths):
        raise RuntimeError(f"{found} of {len(archive.paths)} files arrived")
    return {
        'seconds': seconds, 'rate': archive.size / seconds,
        'memory': memory.growth}


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {
        name: statistics.median(run[name] for run in runs)
        for name in runs[0]}


def run(options: argparse.Namespace) -> dict:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ['files', 'packed', 'first']:
            (folder / name).mkdir()
        postgresql = stack.enter_context(PostgreSQL())
        orthanc = stack.enter_context(Orthanc())
        tryton = Tryton(folder / 'tryton', postgresql=postgresql)
        tryton.create([MODULE], cache_folder())
        server = stack.enter_context(tryton.server())
        ways = Ways(server, orthanc)
        size = options.size * MIB
        archive = Archive(
            folder / 'files', options.total // options.size, size)
        small = Archive(
            folder / 'packed', options.packed // options.size, size)
        # The first request fills what all others need
        first = Archive(folder / 'first', 1, MIB)
        measured(ways.route, first, server, orthanc)
        measured(ways.packed, first, server, orthanc)
        found: dict[str, list] = {'orthanc': [], 'route': [], 'packed': []}
        for _ in range(options.repeat):
            for way in ['orthanc', 'route']:
                found[way].append(measured(
                        getattr(ways, way), archive, server, orthanc))
        if small.paths:
            found['packed'].append(
                measured(ways.packed, small, server, orthanc))
        figures = {
            way: medians(runs) for way, runs in found.items() if runs}
        return {
            'files': len(archive.paths), 'bytes': archive.size,
            'packed_bytes': small.size, 'runs': figures,
            'ratio': statistics.median(
                route['rate'] / direct['rate'] for route, direct in
                zip(found['route'], found['orthanc']))}


def show(result: dict) -> None:
    print(f"{result['files']} files, {result['bytes'] / MIB:.0f} MiB "
        f"(packed: {result['packed_bytes'] / MIB:.0f} MiB)")
    print(f"{'':10} {'seconds':>8} {'MiB/s':>8} {'memory MiB':>11}")
    for way, figures in result['runs'].items():
        print(f"{way:10} {figures['seconds']:8.2f} "
            f"{figures['rate'] / MIB:8.1f} {figures['memory'] / MIB:11.1f}")
    print(f"route / orthanc: {result['ratio']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='./dev bench upload', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--total', type=int, default=1024, metavar='MIB',
        help="of all files")
    parser.add_argument(
        '--size', type=int, default=64, metavar='MIB', help="of a file")
    parser.add_argument(
        '--packed', type=int, default=64, metavar='MIB',
        help="of the files that are packed; none if this is less than a file")
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--json', action='store_true')
    options = parser.parse_args()
    with stopping_on_signals():
        result = run(options)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == '__main__':
    main()
