# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of a real Orthanc become attachments."""
import io
import threading

import pytest
from PIL import Image

from devtools.process import wait_until
from devtools.proxy import Answer, Proxy
from devtools.samples import Patient

from . import inside
from .agent import CallFailed
from .hospital import ADMIN, ALL, ON_BOTH, study, study_id

ATTACHMENT = 'ir.attachment'
HEALTH_PATIENT = 'gnuhealth.patient'
STABLE = {'StableAge': 1}


class Archive:
    "An Orthanc, and a patient whose studies it gets"

    def __init__(self, hospital, orthanc, url=None, **values):
        self.hospital = hospital
        self.orthanc = orthanc
        self.patient, puid = hospital.add_patient()
        self.person = Patient('Muster^Erika', puid, '19640812', 'F')
        self.server = hospital.add_server(orthanc, url, **ALL, **values)

    def add(self, datasets=None, **options):
        "Store a study and bring it in; return its record"
        orthanc_id = study_id(self.orthanc.upload(
                datasets or study(self.person, **options)))
        self.server.done()
        return next(
            s for s in self.server.studies('patient', 'link_status')
            if s['orthanc_UID'] == orthanc_id)

    def attach(self, ids):
        self.hospital.call(inside.attach, ids, user=ADMIN)

    def attachments(self, resource):
        return self.hospital.read(
            ATTACHMENT, [('resource', '=', resource)], 'name', 'description',
            'data', 'create_uid')


def size(attachment):
    return Image.open(io.BytesIO(attachment['data'])).size


@ON_BOTH
def test_images_are_attached_to_the_result(hospital, orthanc):
    archive = Archive(hospital, orthanc)
    record = archive.add(instances=2)
    first, second = archive.server.instances('sop_instance_UID')
    with pytest.raises(CallFailed, match="no imaging result yet"):
        archive.attach([first['id']])
    result = hospital.call(
        inside.add_result, archive.patient, record['id'], user=ADMIN)
    for _ in range(2):
        archive.attach([first['id'], second['id']])
    attached = archive.attachments(f'gnuhealth.imaging.test.result,{result}')
    assert {a['name'] for a in attached} == {
        first['sop_instance_UID'], second['sop_instance_UID']}
    assert len(attached) == 2
    assert all("Instance No." in a['description'] for a in attached)
    assert all(a['create_uid'] == ADMIN for a in attached)
    assert [size(a) for a in attached] == [(8, 8)] * 2


def test_large_ones_are_made_smaller_and_others_refused(hospital, orthanc):
    archive = Archive(hospital, orthanc)
    large, = study(archive.person)
    large.Rows, large.Columns = 2100, 100
    large.PixelData = bytes(2100 * 100 * large.BitsAllocated // 8)
    record = archive.add([large])
    result = hospital.call(
        inside.add_result, archive.patient, record['id'], user=ADMIN)
    resource = f'gnuhealth.imaging.test.result,{result}'
    image, = archive.server.instances()
    archive.attach([image['id']])
    attached, = archive.attachments(resource)
    assert max(size(attached)) == 2048
    document = archive.add(modality='SR')
    hospital.write(inside.STUDY, [document['id']], imaging_test=result)
    text = next(
        i for i in archive.server.instances() if i['id'] != image['id'])
    with pytest.raises(CallFailed, match="has no image"):
        archive.attach([image['id'], text['id']])
    assert len(archive.attachments(resource)) == 1


@ON_BOTH
def test_key_images(hospital, start_orthanc):
    orthanc = start_orthanc(configuration=STABLE)
    archive = Archive(hospital, orthanc)
    record = archive.add(instances=2)
    hospital.write(inside.STUDY, [record['id']], patient=archive.patient)
    resource = f'{HEALTH_PATIENT},{archive.patient}'
    archive.server.done('full')
    assert not archive.attachments(resource)
    archive.server.write(key_image=True)
    orthanc_stable(orthanc)
    archive.server.done('full')
    attached, = archive.attachments(resource)
    assert record['orthanc_UID'] in attached['description']
    first = archive.server.instances('sop_instance_UID', 'instance_number')
    assert attached['name'] == min(
        first, key=lambda i: i['instance_number'])['sop_instance_UID']
    hospital.write(ATTACHMENT, [attached['id']], description="Mine")
    archive.server.done('full')
    again, = archive.attachments(resource)
    assert again['description'] == "Mine"


def test_a_key_image_that_cannot_be_had_yet(hospital, start_orthanc):
    orthanc = start_orthanc(configuration=STABLE)
    broken = threading.Event()

    def before(request):
        if broken.is_set() and '/rendered' in request.path:
            return Answer(503)

    with Proxy(orthanc.url, before=before) as proxy:
        archive = Archive(hospital, orthanc, proxy.url, key_image=True)
        record = archive.add()
        hospital.write(inside.STUDY, [record['id']], patient=archive.patient)
        orthanc_stable(orthanc)
        broken.set()
        archive.server.done('full')
        resource = f'{HEALTH_PATIENT},{archive.patient}'
        assert not archive.attachments(resource)
        broken.clear()
        archive.server.done()
        assert len(archive.attachments(resource)) == 1


def orthanc_stable(orthanc):
    assert wait_until(lambda: all(
            s['IsStable'] for s in orthanc.get(
                '/studies?expand&since=0&limit=10')), 30, 0.2)
