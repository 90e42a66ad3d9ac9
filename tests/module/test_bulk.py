# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that are created by SQL keep the rules of their models."""

from trytond import backend
from trytond.model.modelsql import SQLConstraintError
from trytond.modules.health_orthanc.common.bulk import create_rows
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from .tools import (
    PATIENT, SERIES, STUDY, OrthancTestCase, create_orthanc_patient,
    create_series, create_server, create_study)

CONFLICTS = (backend.DatabaseIntegrityError, SQLConstraintError)


class BulkTestCase(OrthancTestCase):
    "Several transactions may store the same at the same time"

    @with_transaction()
    def test_a_patient_is_stored_once(self):
        patient = create_orthanc_patient(create_server())
        with self.assertRaises(CONFLICTS):
            create_rows(Pool().get(PATIENT), [
                    {'server': patient.server.id, 'uuid': uuid}
                    for uuid in ['new', patient.uuid]])

    @with_transaction()
    def test_a_study_is_stored_once(self):
        study = create_study(create_server())
        with self.assertRaises(CONFLICTS):
            create_rows(Pool().get(STUDY), [{
                        'server': study.server.id,
                        'orthanc_UID': study.orthanc_UID,
                        }])

    @with_transaction()
    def test_a_series_is_stored_once(self):
        series = create_series(create_study(create_server()))
        with self.assertRaises(CONFLICTS):
            create_rows(Pool().get(SERIES), [{
                        'study': series.study.id,
                        'orthanc_UID': series.orthanc_UID,
                        }])

    @with_transaction()
    def test_nothing_twice_in_one_go(self):
        study = create_study(create_server())
        with self.assertRaises(CONFLICTS):
            create_rows(Pool().get(SERIES), [
                    {'study': study.id, 'orthanc_UID': 'same'}] * 2)

    @with_transaction()
    def test_another_server_may_hold_the_same(self):
        study = create_study(create_server())
        create_rows(Pool().get(STUDY), [{
                    'server': create_server().id,
                    'orthanc_UID': study.orthanc_UID,
                    }])
        self.assertEqual(Pool().get(STUDY).search(
                [('orthanc_UID', '=', study.orthanc_UID)], count=True), 2)
