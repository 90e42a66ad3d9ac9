# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that are created by SQL keep the rules of their models."""

import datetime as dt

from trytond import backend
from trytond.model import fields
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
    def test_values_are_those_that_the_model_stores(self):
        # Only texts of several lines may have control characters
        texts = [("CT", text) for text in ["C\tT", "C\nT", "C\r\nT"]]
        plain = [
            (text, text) for text in ["CT", " CT ", "%s", "", "ä", None]]
        for some in [
                plain, [(None, None)],
                [*texts, *plain, *((t, t) for t in [r"C\T", r"\N"])]]:
            self._compare(some)

    def _compare(self, texts):
        Study = Pool().get(STUDY)
        server = create_server()
        values = [{
                'server': server.id, 'study_description': line,
                'malformed_tags': text, 'date': date, 'study_time': time,
                'stable': stable, 'last_update': at,
                } for line, text in texts for date, time, stable, at in [
                (None, None, None, None),
                (dt.date(2026, 3, 4), dt.time(5, 6, 7), True,
                    dt.datetime(2026, 3, 4, 5, 6, 7))]]
        Study.create([
                {'orthanc_UID': f'A{n:03}', **v}
                for n, v in enumerate(values)])
        create_rows(Study, [
                {'orthanc_UID': f'B{n:03}', **v}
                for n, v in enumerate(values)])
        stored = [
            {
                name: value for name, value in row.items()
                if name not in {'id', 'orthanc_UID', 'create_date'}}
            for row in Study.search_read(
                [('server', '=', server.id)], order=[('orthanc_UID', 'ASC')],
                fields_names=_columns(Study))]
        self.assertEqual(len(stored), 2 * len(values))
        self.assertEqual(stored[:len(values)], stored[len(values):])

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


def _columns(Model):
    return [
        name for name, field in Model._fields.items()
        if not isinstance(field, fields.Function) and field.sql_type()]
