# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to see images through GNU Health instead of from Orthanc.

All frames of a CT are fetched as a viewer does it, several at a time

- *orthanc*: straight from Orthanc's plugin DICOMweb;
- *route*: through the routes of this module, with the cookie of a viewer;

by the same client, which alternates between the two, and then by several
viewers at once.  *first* is the time to the first frame, after the searches
and the metadata that come before it.  *CPU* is that of GNU Health's server for
a frame, *memory* how far it grows meanwhile.  The figures are medians of the
runs.
"""
import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from devtools.orthanc import Orthanc
from devtools.postgresql import PostgreSQL
from devtools.process import stopping_on_signals
from devtools.samples import make_study
from devtools.testing import cache_folder
from devtools.tryton import MODULE, Server, Tryton
from tests.integration import inside, viewing_inside
from tests.integration.agent import Agent

from .upload import Memory

MIB = 2**20
# Seconds for an answer
TIMEOUT = 120
# Requests of a viewer at a time, as browsers send them
AT_ONCE = 6
FRAME = 'multipart/related; type=application/octet-stream; transfer-syntax=*'
JSON = {'Accept': 'application/dicom+json', 'Accept-Encoding': 'gzip'}


class Viewer:
    """A viewer that fetches a study.

    Parameters
    ----------
    root : str
        Of DICOMweb.
    log_in : callable
        Gives a session of requests its cookie or password.
    """

    def __init__(
            self, root: str, log_in: Callable[[requests.Session], None]):
        self._root = root
        self._session = requests.Session()
        self._session.trust_env = False
        log_in(self._session)

    def fetch(self, uid: str) -> dict[str, float]:
        """Return seconds to the first and last frame, and bytes."""
        start = time.perf_counter()
        self._get('studies', {**JSON}, StudyInstanceUID=uid)
        frames = []
        for series in self._get(f'studies/{uid}/series', JSON).json():
            path = f"studies/{uid}/series/{series['0020000E']['Value'][0]}"
            frames += [
                f"{path}/instances/{i['00080018']['Value'][0]}/frames/1"
                for i in self._get(f'{path}/metadata', JSON).json()]
        size = len(self._frame(frames[0]))
        first = time.perf_counter() - start
        with ThreadPoolExecutor(AT_ONCE) as pool:
            size += sum(map(len, pool.map(self._frame, frames[1:])))
        return {
            'first': first, 'seconds': time.perf_counter() - start,
            'bytes': size, 'frames': len(frames)}

    def _frame(self, path: str) -> bytes:
        return self._get(path, {
                'Accept': FRAME, 'Accept-Encoding': 'identity'}).content

    def _get(
            self, path: str, headers: dict[str, str],
            **parameters: str) -> requests.Response:
        answer = self._session.get(
            f'{self._root}/{path}', headers=headers, params=parameters,
            timeout=TIMEOUT)
        answer.raise_for_status()
        return answer


def cpu_seconds(server: Server) -> float:
    fields = Path(
        f'/proc/{server.process.pid}/stat').read_text().split(')')[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Site:
    """GNU Health and Orthanc with a CT.

    Attributes
    ----------
    server : Server
    uid : str
        Of the study.
    """

    def __init__(
            self, tryton: Tryton, server: Server, agent: Agent,
            orthanc: Orthanc, instances: int, rows: int):
        self.server = server
        self._orthanc = orthanc
        self._call = agent.call
        images = make_study('CT', series=1, instances=instances, rows=rows)
        self.uid = str(images[0].StudyInstanceUID)
        orthanc.upload(images)
        self._archive = self._call(inside.add_server, {
                'label': "Benchmark", 'domain': orthanc.url,
                'user': orthanc.user, 'password': orthanc.password})
        self._call(inside.synchronize, self._archive, 'full')
        self._user = self._call(viewing_inside.make_users)['clerk']
        self._key = self._call(viewing_inside.log_in, user=self._user)
        self._own = f'{server.url}/{tryton.name}/orthanc'

    def orthanc(self) -> Viewer:
        def log_in(session: requests.Session) -> None:
            session.auth = self._orthanc.user, self._orthanc.password
        return Viewer(f'{self._orthanc.url}/dicom-web', log_in)

    def route(self) -> Viewer:
        def log_in(session: requests.Session) -> None:
            study, = self._call(
                inside.read, inside.STUDY, [], ['id'])
            ticket = self._call(
                viewing_inside.issue_ticket, self._key, [study['id']],
                user=self._user)
            session.post(
                f'{self._own}/viewer-session', data=ticket, timeout=TIMEOUT,
                headers={'Sec-Fetch-Site': 'same-origin'}).raise_for_status()
        return Viewer(
            f'{self._own}/dicomweb/{self._archive}/dicom-web', log_in)

    def measure(
            self, make: Callable[[], Viewer], count: int) -> dict[str, float]:
        """Return what it costs that `count` viewers fetch the study."""
        viewers = [make() for _ in range(count)]
        memory = Memory(self.server)
        cpu, start = cpu_seconds(self.server), time.perf_counter()
        with ThreadPoolExecutor(count) as pool:
            runs = list(pool.map(lambda v: v.fetch(self.uid), viewers))
        seconds = time.perf_counter() - start
        frames = sum(run['frames'] for run in runs)
        return {
            'first': statistics.median(run['first'] for run in runs),
            'seconds': seconds,
            'rate': sum(run['bytes'] for run in runs) / seconds,
            'cpu': (cpu_seconds(self.server) - cpu) / frames,
            'memory': memory.growth}


@contextlib.contextmanager
def open_site(instances: int, rows: int) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgresql = stack.enter_context(PostgreSQL())
        tryton = Tryton(folder, postgresql=postgresql)
        tryton.create([MODULE], cache_folder())
        orthanc = stack.enter_context(Orthanc(plugins=['dicomweb']))
        server = stack.enter_context(tryton.server())
        agent = stack.enter_context(Agent(tryton))
        yield Site(tryton, server, agent, orthanc, instances, rows)


def run(options: argparse.Namespace) -> dict:
    with open_site(options.instances, options.rows) as site:
        # What all others need is filled by the first
        site.measure(site.route, 1)
        found: dict[str, list] = {}
        for count in [1, options.viewers]:
            for _ in range(options.repeat):
                for way in ['orthanc', 'route']:
                    found.setdefault(f'{way} {count}', []).append(
                        site.measure(getattr(site, way), count))
        return {
            way: {
                name: statistics.median(run[name] for run in runs)
                for name in runs[0]}
            for way, runs in found.items()}


def show(result: dict) -> None:
    print(f"{'':12} {'first s':>8} {'all s':>8} {'MiB/s':>8} "
        f"{'CPU ms':>8} {'memory MiB':>11}")
    for way, figures in result.items():
        print(f"{way:12} {figures['first']:8.2f} {figures['seconds']:8.2f} "
            f"{figures['rate'] / MIB:8.1f} {1000 * figures['cpu']:8.1f} "
            f"{figures['memory'] / MIB:11.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='./dev bench viewing', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--instances', type=int, default=500)
    parser.add_argument(
        '--rows', type=int, default=512, help="and columns of each")
    parser.add_argument(
        '--viewers', type=int, default=10, help="at once")
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
