# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Health as the tests of synchronisation see it."""
import datetime as dt
import itertools
from typing import Any

import pytest

from devtools.orthanc import Orthanc
from devtools.samples import Patient, make_study

from . import inside
from .agent import Agent

__all__ = [
    'ALL', 'ON_BOTH', 'Hospital', 'RemoteServer', 'contents', 'study',
    'study_id']

# For `hospital`: what is about SQL, locks or several processes at once.  That
# matters on PostgreSQL; all other tests run on SQLite.
ON_BOTH = pytest.mark.parametrize(
    'hospital', [
        'postgresql', pytest.param('sqlite', marks=pytest.mark.release)],
    indirect=True)
ALL = {'instances_mode': 'always'}
ADMIN = 1
_numbers = itertools.count(1)


def study(patient: Patient = Patient(), **options: Any) -> list:
    """Return the instances of a new tiny CT study."""
    return make_study(
        options.pop('modality', 'CT'), patient,
        **{'series': 1, 'instances': 1, 'rows': 8, 'frames': 1, **options})


def study_id(answers: list[dict]) -> str:
    """Return the Orthanc id of the study that was just stored."""
    found, = {answer['ParentStudy'] for answer in answers}
    return found


def contents(orthanc: Orthanc) -> dict[str, list[str]]:
    """Return the Orthanc ids of all that an Orthanc holds, by level."""
    return {
        level: sorted(orthanc.get('/' + level))
        for level in ['patients', 'studies', 'series', 'instances']}


class Hospital:
    """A GNU Health that the tests work with through an agent."""

    def __init__(self, agent: Agent):
        self.agent = agent
        self.call = agent.call

    def add_server(
            self, orthanc: Orthanc, url: str | None = None,
            **values: Any) -> 'RemoteServer':
        """Return the new record of an Orthanc's server."""
        number = next(_numbers)
        id_ = self.call(inside.add_server, {
                'label': f"Server {number}",
                'domain': url or orthanc.url,
                'user': orthanc.user,
                'password': orthanc.password,
                'retries': 0,
                # What Orthanc holds passes for new
                'initial_index': 0,
                **values,
                })
        return RemoteServer(self, id_, orthanc)

    def add_patient(
            self, family: str = "Muster", given: str = "Erika",
            sex: str = 'f', birth_date: dt.date = dt.date(1964, 8, 12),
            puid: str | None = None) -> tuple[int, str]:
        """Register a patient; return the id and the PUID."""
        puid = puid or f'TST{next(_numbers):06}'
        id_ = self.call(
            inside.add_patient, puid, family, given, sex, birth_date)
        return id_, puid

    def read(self, model: str, domain: list, *fields: str) -> list[dict]:
        return self.call(inside.read, model, domain, ['id', *fields])

    def write(self, model: str, ids: list[int], **values: Any) -> None:
        """Write what a person has decided."""
        self.call(inside.write, model, ids, values, user=ADMIN)


class RemoteServer:
    """A server's record."""

    def __init__(self, hospital: Hospital, id_: int, orthanc: Orthanc):
        self.hospital = hospital
        self.id = id_
        self.orthanc = orthanc

    def run(self, kind: str = 'incremental', **limits: int) -> dict:
        """Synchronise; return the values of the run.

        Parameters
        ----------
        limits
            Sizes of batches, named as in the engine.
        """
        return self.hospital.call(inside.synchronize, self.id, kind, limits)

    def done(self, kind: str = 'incremental', **limits: int) -> dict:
        """Synchronise without an error."""
        run = self.run(kind, **limits)
        assert run['state'] == 'done', run
        assert not run['failures_count'], run
        return run

    def start(self, kind: str = 'incremental', **limits: int):
        """Synchronise in the background."""
        return self.hospital.agent.start(
            inside.synchronize, self.id, kind, limits)

    def contents(self) -> dict[str, list[str]]:
        """Return what is recorded as present, as `contents` does."""
        return self.hospital.call(inside.snapshot, self.id)

    def values(self, *fields: str) -> dict:
        values, = self.hospital.read(
            inside.SERVER, [('id', '=', self.id)], *fields)
        return values

    def write(self, **values: Any) -> None:
        if 'domain' in values:
            # Another address needs the password again
            values.setdefault('password', self.orthanc.password)
        self.hospital.write(inside.SERVER, [self.id], **values)

    def studies(self, *fields: str) -> list[dict]:
        return self.hospital.read(
            inside.STUDY, [('server', '=', self.id)], 'orthanc_UID', *fields)

    def study(self, *fields: str) -> dict:
        found, = self.studies(*fields)
        return found

    def series(self, *fields: str) -> list[dict]:
        return self.hospital.read(
            inside.SERIES, [('study.server', '=', self.id)], 'orthanc_UID',
            *fields)

    def instances(self, *fields: str) -> list[dict]:
        return self.hospital.read(
            inside.INSTANCE, [('series.study.server', '=', self.id)],
            'orthanc_UID', *fields)

    def runs(self, *fields: str) -> list[dict]:
        return self.hospital.read(
            inside.RUN, [('server', '=', self.id)], *fields)

    def failures(self, *fields: str) -> list[dict]:
        return self.hospital.read(
            inside.FAILURE, [('server', '=', self.id)], *fields)

    def assert_equal(self) -> None:
        """Compare with what Orthanc holds, and look for doubles."""
        assert self.contents() == contents(self.orthanc)
        assert not self.hospital.call(inside.doubles, self.id)
