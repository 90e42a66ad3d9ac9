# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A day in the audit trail, as the privacy officer sees it."""
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import requests

from proteus import Model, Wizard

from devtools.hospital import record_id
from devtools.orthanc import Orthanc
from devtools.samples import Patient, make_study
from devtools.tryton import MODULE, PASSWORD, ROOT

from .client import (
    CLERK, GET_NEW_STUDIES, LABEL, SERVER, add_server, make_clerk)
from .tables import connect

AUDIT = 'gnuhealth.imaging_orthanc.audit'
STUDY = 'gnuhealth.imaging_orthanc.study'
OFFICER = 'officer'
TIMEOUT = 60
AT_ONCE = 8
EACH = 10


@pytest.fixture(scope='module', params=[
        'postgresql',
        pytest.param('sqlite', marks=pytest.mark.release)])
def server(request, prepared_tryton):
    tryton = prepared_tryton(request.param, MODULE).copy('audited')
    # What is queued is done at once
    tryton.sections['queue'] = {'worker': 'False'}
    with tryton.server() as server:
        yield server
    tryton.drop()


@pytest.fixture(scope='module')
def archive(server):
    """An Orthanc with a study that is linked to nobody yet."""
    server.connect()
    make_clerk()
    officer = Model.get('res.user')(name="Officer", login=OFFICER)
    officer.password = PASSWORD
    officer.groups.append(Model.get('res.group')(record_id(
                'health_orthanc.group_imaging_orthanc_privacy')))
    officer.save()
    with Orthanc() as archive:
        add_server(archive).execute('end')
        archive.upload(make_study(
                'CT', Patient("Muster^Erika", 'X1', '19640812', 'F'),
                series=1, instances=2, rows=16))
        wizard = Wizard(GET_NEW_STUDIES)
        wizard.execute('update')
        wizard.execute('end')
        yield archive


def make_patient():
    party = Model.get('party.party')(name="Erika", lastname="Muster")
    party.is_person = party.is_patient = True
    party.gender = 'f'
    party.save()
    # GNU Health makes the patient
    patient, = Model.get('gnuhealth.patient').find([('party', '=', party.id)])
    return patient


def entries(server, after, *names):
    """Return what the officer reads after an entry, in its order."""
    rows = getattr(server.rpc(OFFICER).model, AUDIT).search_read(
        [('number', '>', after)], 0, None, [('number', 'ASC')], list(names),
        {})
    return [tuple(row[name] for name in names) for row in rows]


def check(server, *options):
    """Run the command, and return its status and what it prints."""
    tryton = server.tryton
    result = subprocess.run(
        [sys.executable, ROOT / 'scripts' / 'health_orthanc_audit_check.py',
            '-c', tryton.configuration, '-d', tryton.name, *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT)
    return result.returncode, result.stdout + result.stderr


def post(url, ticket):
    session = requests.Session()
    session.trust_env = False
    return session.post(
        url, data={'ticket': ticket}, timeout=TIMEOUT).status_code


def test_a_day(server, archive):
    server.connect()
    patient = make_patient()
    server.connect(CLERK)
    study, = Model.get(STUDY).find([])
    study.patient = Model.get('gnuhealth.patient')(patient.id)
    study.save()
    study.series[0].click('load_instances')
    study.reload()
    instance = study.series[0].instances[0]
    assert instance.image
    image_uid = instance.sop_instance_UID
    wizard = Wizard('gnuhealth.imaging_orthanc.download_images', [study])
    url, ticket = wizard.actions[0].split('#')
    assert post(url, ticket) == 200
    assert post(url, ticket) == 403
    with pytest.raises(Exception, match="not allowed"):
        Wizard('gnuhealth.imaging_orthanc.delete_images', [study])
    server.connect()
    wizard = Wizard(
        'gnuhealth.imaging_orthanc.delete_images',
        [Model.get(STUDY)(study.id)])
    wizard.execute('delete_')
    names = [
        'action', 'outcome', 'user_id', 'patient_id', 'study_uid', 'detail']
    clerk, admin = (
        Model.get('res.user').find([('login', '=', login)])[0].id
        for login in [CLERK, 'admin'])
    uid = study.study_instance_UID
    whose = [patient.id, uid]
    assert entries(server, 0, *names) == [
        ('link', 'success', clerk, *whose, 'unlinked → manual'),
        ('preview', 'success', clerk, *whose, image_uid),
        ('token', 'success', clerk, *whose, 'download, study'),
        ('download', 'success', clerk, *whose, 'study'),
        ('download', 'refused', None, None, None, 'ticket'),
        # Before the client says of which study
        ('wizard', 'refused', clerk, None, None,
            'gnuhealth.imaging_orthanc.delete_images'),
        ('delete', 'success', admin, *whose, f'study {uid}'),
        ]
    shown = entries(
        server, 0, 'patient_name', 'puid', 'address', 'server_name')
    assert set(shown) == {
        (patient.rec_name, patient.puid, '127.0.0.1', LABEL),
        (None, None, '127.0.0.1', None)}


def test_many_at_once(server, archive):
    """Each entry is kept, and the chain holds."""
    (before,), = entries(server, 0, 'number')[-1:]
    rpcs = [server.rpc(CLERK) for _ in range(AT_ONCE)]

    def refused(rpc):
        for _ in range(EACH):
            with pytest.raises(Exception, match="not allowed"):
                getattr(rpc.model, SERVER).check([], {})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(refused, rpcs))
    found = entries(server, before, 'number', 'action', 'outcome')
    assert found == [
        (before + n, 'button', 'refused')
        for n in range(1, AT_ONCE * EACH + 1)]
    status, text = check(server)
    assert status == 0, text
    assert f"{len(entries(server, 0, 'number'))} entries are as they" in text


def test_the_database_is_tampered_with(server, archive):
    with closing(connect(server.tryton)) as connection:
        connection.cursor().execute(
            "UPDATE gnuhealth_imaging_orthanc_audit SET user_id = 1"
            " WHERE number = 2")
        connection.commit()
    status, text = check(server)
    assert status == 1
    assert text.startswith("Entry 2: it, or the entry before, was changed.")
