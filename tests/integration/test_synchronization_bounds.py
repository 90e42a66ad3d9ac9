# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and SQL statements grow with batches, not with records."""
import pytest

from devtools.samples import Patient, make_bulk

from . import inside
from .hospital import ALL, study

SMALL, LARGE = 20, 100
# Statements for the slices that trytond creates and writes records in: fewer
# than one for each study
SLICES = 20


def runs(hospital, orthanc, prepare):
    """Return the run on a small and on a large archive.

    Parameters
    ----------
    prepare
        Takes server and number of studies, and returns the kind of run.
    """
    found = []
    for number in [SMALL, LARGE]:
        orthanc.reset()
        hospital.call(inside.empty)
        server = hospital.add_server(orthanc, **ALL)
        found.append(server.done(prepare(server, number)))
        server.assert_equal()
    return found


def assert_bounded(small, large):
    assert large['requests'] <= small['requests'] + 2
    assert large['statements'] <= small['statements'] + SLICES


# trytond inserts records one by one into SQLite
on_postgresql = pytest.mark.parametrize(
    'hospital', ['postgresql'], indirect=True)


@on_postgresql
def test_first_full_run(hospital, orthanc):
    def prepare(server, number):
        orthanc.upload_bulk(make_bulk(number, 1, 2))
        return 'full'

    assert_bounded(*runs(hospital, orthanc, prepare))


@pytest.mark.release
@on_postgresql
def test_first_incremental_run(hospital, orthanc):
    def prepare(server, number):
        orthanc.upload(study(Patient(id='BEFORE')))
        server.done()
        orthanc.upload_bulk(make_bulk(number, 1, 2))
        return 'incremental'

    assert_bounded(*runs(hospital, orthanc, prepare))


@pytest.mark.parametrize('kind', ['incremental', 'full'])
def test_nothing_new(hospital, orthanc, kind):
    def prepare(server, number):
        orthanc.upload_bulk(make_bulk(number, 1, 2))
        server.done('full')
        return kind

    small, large = runs(hospital, orthanc, prepare)
    assert_bounded(small, large)
    if kind == 'incremental':
        assert small['requests'] == large['requests'] == 1
        assert small['statements'] == large['statements']


@pytest.mark.release
def test_all_studies_are_gone(hospital, orthanc):
    def prepare(server, number):
        orthanc.upload_bulk(make_bulk(number, 1, 2))
        server.done('full')
        orthanc.clear()
        return 'full'

    small, large = runs(hospital, orthanc, prepare)
    assert (small['studies_missing'], large['studies_missing']) == (
        SMALL, LARGE)
    assert_bounded(small, large)


@pytest.mark.release
def test_all_studies_are_back(hospital, orthanc):
    def prepare(server, number):
        files = list(make_bulk(number, 1, 2))
        orthanc.upload_bulk(files)
        server.done('full')
        orthanc.clear()
        server.done('full')
        orthanc.upload_bulk(files)
        return 'incremental'

    assert_bounded(*runs(hospital, orthanc, prepare))


@on_postgresql
def test_studies_of_registered_patients(hospital, orthanc):
    puids = [
        hospital.add_patient(
            "Study 000000", "Bulk", 'm', puid=f'BND{number:05}')[1]
        for number in range(10)]

    def prepare(server, number):
        orthanc.upload_bulk(make_bulk(
                number, 1, 1, patients=puids[:number // 20]))
        return 'full'

    assert_bounded(*runs(hospital, orthanc, prepare))
