# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to see images through GNU Health instead of from Orthanc.

A CT is fetched as a viewer does it, with several requests at a time

- *orthanc*: straight from Orthanc's plugin DICOMweb;
- *python*: through the routes of this module, in gunicorn;
- *nginx*: the same with nginx in front, which sends the images itself;
- *copy*: by an application that only copies, in gunicorn as well: what passes
  images on in Python cannot be faster;

by the same client, which alternates between them, with one viewer and with
several.  *first* is the time to the first frame, after the searches and the
metadata that come before it; *metadata* is the part of the metadata, and
*all* the time to the last frame.  *speed* is that of Orthanc in the same
round, as part of it; *CPU* what a frame takes of the servers in between, and
*memory* how far these grow.  The figures are medians of the rounds.
"""
import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from devtools.gunicorn import Gunicorn, group_pids
from devtools.nginx import LOCATION, Nginx
from devtools.orthanc import Orthanc
from devtools.postgresql import PostgreSQL
from devtools.process import stopping_on_signals
from devtools.samples import make_study
from devtools.testing import cache_folder
from devtools.tryton import MODULE, Tryton
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
        # Orthanc closes connections of which it has not heard for a second
        self._session.mount('http://', HTTPAdapter(
                pool_maxsize=AT_ONCE, max_retries=Retry(
                    connect=0, read=2, status=0, redirect=0, other=0)))
        log_in(self._session)

    def fetch(self, uid: str) -> dict[str, float]:
        """Return seconds to the first and last frame, and bytes."""
        start = time.perf_counter()
        self._get('studies', {**JSON}, StudyInstanceUID=uid)
        frames = []
        found = self._get(f'studies/{uid}/series', JSON).json()
        asked = time.perf_counter()
        for series in found:
            path = f"studies/{uid}/series/{series['0020000E']['Value'][0]}"
            frames += [
                f"{path}/instances/{i['00080018']['Value'][0]}/frames/1"
                for i in self._get(f'{path}/metadata', JSON).json()]
        metadata = time.perf_counter() - asked
        size = len(self._frame(frames[0]))
        first = time.perf_counter() - start
        with ThreadPoolExecutor(AT_ONCE) as pool:
            size += sum(map(len, pool.map(self._frame, frames[1:])))
        return {
            'first': first, 'metadata': metadata,
            'seconds': time.perf_counter() - start,
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


class Parts:
    """Processes between client and Orthanc, and what they take."""

    def __init__(self, groups: Iterable[int]):
        self._pids = [pid for group in groups for pid in group_pids(group)]
        self._memory = [Memory(pid) for pid in self._pids]
        self._cpu = self._cpu_seconds()

    @property
    def memory(self) -> int:
        return sum(memory.growth for memory in self._memory)

    @property
    def cpu(self) -> float:
        return self._cpu_seconds() - self._cpu

    def _cpu_seconds(self) -> float:
        return sum(map(_cpu_seconds, self._pids))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Site:
    """GNU Health and Orthanc with a CT.

    Attributes
    ----------
    uid : str
        Of the study.
    """

    def __init__(
            self, tryton: Tryton, agent: Agent, orthanc: Orthanc,
            instances: int, rows: int):
        self._name = tryton.name
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
        # What leads there, and the processes that it consists of
        self._ways: dict[str, tuple[Callable[[], Viewer], list[int]]] = {
            'orthanc': (self._straight, [])}

    def add(
            self, way: str, url: str, groups: list[int],
            logs_in: bool = True) -> None:
        """Add a way through processes of some groups."""
        path = f'{self._name}/orthanc'

        def open_viewer() -> Viewer:
            return Viewer(
                f'{url}/{path}/dicomweb/{self._archive}/dicom-web',
                lambda session: self._log_in(session, f'{url}/{path}')
                if logs_in else None)
        self._ways[way] = open_viewer, groups

    def _straight(self) -> Viewer:
        def log_in(session: requests.Session) -> None:
            session.auth = self._orthanc.user, self._orthanc.password
        return Viewer(f'{self._orthanc.url}/dicom-web', log_in)

    def _log_in(self, session: requests.Session, address: str) -> None:
        study, = self._call(inside.read, inside.STUDY, [], ['id'])
        ticket = self._call(
            viewing_inside.issue_ticket, self._key, [study['id']],
            user=self._user)
        session.post(
            f'{address}/viewer-session', data=ticket, timeout=TIMEOUT,
            headers={'Sec-Fetch-Site': 'same-origin'}).raise_for_status()

    def measure(self, way: str, count: int) -> dict[str, float]:
        """Return what it costs that `count` viewers fetch the study."""
        make, groups = self._ways[way]
        viewers = [make() for _ in range(count)]
        parts, start = Parts(groups), time.perf_counter()
        with ThreadPoolExecutor(count) as pool:
            runs = list(pool.map(lambda v: v.fetch(self.uid), viewers))
        seconds = time.perf_counter() - start
        frames = sum(run['frames'] for run in runs)
        return {
            'first': statistics.median(run['first'] for run in runs),
            'metadata': statistics.median(run['metadata'] for run in runs),
            'seconds': seconds,
            'rate': sum(run['bytes'] for run in runs) / seconds,
            'cpu': parts.cpu / frames,
            'memory': parts.memory}

    def measure_round(self, first: int, count: int) -> dict[str, dict]:
        """Measure each way once, in another order each time."""
        ways = [*self._ways]
        first %= len(ways)
        found = {
            way: self.measure(way, count)
            for way in ways[first:] + ways[:first]}
        for figures in found.values():
            figures['speed'] = (
                found['orthanc']['seconds'] / figures['seconds'])
        return found


@contextlib.contextmanager
def open_site(instances: int, rows: int) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgresql = stack.enter_context(PostgreSQL())
        # Metadata are kept of what is stable
        orthanc = stack.enter_context(Orthanc(
                plugins=['dicomweb'], configuration={'StableAge': 1}))
        tryton = Tryton(folder, postgresql=postgresql, sections={
                'web': {'num_proxies': '1'},
                MODULE: {'nginx_locations': f'{orthanc.url} {LOCATION}'}})
        tryton.create([MODULE], cache_folder())
        agent = stack.enter_context(Agent(tryton))
        site = Site(tryton, agent, orthanc, instances, rows)
        server = stack.enter_context(Gunicorn(tryton))
        site.add('python', server.url, [server.process.pid])
        nginx = stack.enter_context(Nginx(server.port, orthanc))
        site.add('nginx', nginx.url, [server.process.pid, nginx.process.pid])
        copy = stack.enter_context(Gunicorn(
                tryton, 'benchmarks.copying:app', {
                    'ORTHANC_URL': orthanc.url, 'ORTHANC_USER': orthanc.user,
                    'ORTHANC_PASSWORD': orthanc.password}))
        site.add('copy', copy.url, [copy.process.pid], logs_in=False)
        yield site


def run(options: argparse.Namespace) -> dict:
    with open_site(options.instances, options.rows) as site:
        # What all others need is filled by the first
        site.measure_round(0, 1)
        found: dict[str, list] = {}
        loads = []
        for count, rounds in [
                (1, options.repeat),
                (options.viewers, (options.repeat + 1) // 2)]:
            for number in range(rounds):
                for way, figures in site.measure_round(
                        number, count).items():
                    found.setdefault(f'{way} {count}', []).append(figures)
                loads.append(os.getloadavg()[0])
        return {
            'load': [min(loads), max(loads)],
            'ways': {
                way: {
                    name: statistics.median(run[name] for run in runs)
                    for name in runs[0]}
                for way, runs in found.items()}}


def show(result: dict) -> None:
    print("load {:.0f} to {:.0f}".format(*result['load']))
    print(f"{'':12} {'first s':>8} {'metadata':>8} {'all s':>8} "
        f"{'MiB/s':>8} {'speed':>6} {'CPU ms':>7} {'memory MiB':>11}")
    for way, figures in sorted(
            result['ways'].items(), key=lambda i: int(i[0].split()[1])):
        print(f"{way:12} {figures['first']:8.2f} {figures['metadata']:8.2f} "
            f"{figures['seconds']:8.2f} {figures['rate'] / MIB:8.1f} "
            f"{figures['speed']:6.2f} {1000 * figures['cpu']:7.2f} "
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
    parser.add_argument(
        '--repeat', type=int, default=4,
        help="rounds with one viewer; with several, half as many")
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
