# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the radiographer has to see of a step, in few columns

The texts have several lines, because the list has to fit a small screen.
"""

from collections import defaultdict

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from ..common.access import find_readable, may_press

__all__ = ['ProcedureStep', 'describe_patients', 'readable_patients']

# From this age on only the years are shown
_GROWN = 2
_PATIENT = 'gnuhealth.patient'


def _short_age(age):
    """Return the leading part of an age, as *62y* of *62y 3m 17d*.

    GNU Health separates numbers and units by spaces without width.
    """
    parts = (age or '').split('\u200b')
    found = [
        number + unit.strip()
        for number, unit in zip(parts[::2], parts[1::2])
        if number.isdigit() and int(number)]
    grown = parts[0].isdigit() and int(parts[0]) >= _GROWN
    return ' '.join(found[:1] if grown else found)


@without_check_access
def readable_patients(steps):
    """Return the patients of steps whom the current user may read.

    Whoever may read a step sees who its patient is, but not against a record
    rule on patients.

    Parameters
    ----------
    steps : list of ProcedureStep

    Returns
    -------
    set of int
        The ids of the patients.
    """
    return find_readable(_PATIENT, {s.request.patient.id for s in Pool().get(
                'gnuhealth.imaging.procedure.step').browse(steps)})


def describe_patients(patients):
    """Return the names, PUIDs and ages of the patients of some records.

    Parameters
    ----------
    patients : dict of Patient
        By the ids of the records.

    Returns
    -------
    dict of str
        Empty for a patient whom the current user may not read.
    """
    readable = find_readable(_PATIENT, {p.id for p in patients.values()})
    return {
        id_: _lines(patient.rec_name, _identity(patient))
        if patient.id in readable else ''
        for id_, patient in patients.items()}


def _identity(patient):
    return ' · '.join(filter(None, [patient.puid, _short_age(patient.age)]))


def _lines(*texts):
    return '\n'.join(filter(None, texts))


class ProcedureStep(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.procedure.step'

    # Without the seconds, which every time of a day would show
    start_time = fields.Function(
        fields.DateTime("Time", format='%H:%M'), 'get_start_time')
    patient_lines = fields.Function(
        fields.Text("Patient"), 'get_patient_lines')
    patient_identity = fields.Function(
        fields.Char("PUID and Age"), 'get_patient_identity')
    study_lines = fields.Function(
        fields.Text("Study"), 'get_study_lines')
    device_lines = fields.Function(
        fields.Text(
            "Device", help="The modality and the AE titles of the device."),
        'get_device_lines')
    status_lines = fields.Function(
        fields.Text(
            "Status",
            help="The state of the step, and what has to be heeded: why it is "
            "not on the worklist, allergies, contraindications."),
        'get_status_lines')
    clinical_information = fields.Function(
        fields.Text(
            "Clinical Information",
            states={'invisible': ~Bool(Eval('clinical_information'))}),
        'get_clinical_information')
    patient_warnings = fields.Function(
        fields.Text(
            "Warnings",
            states={'invisible': ~Bool(Eval('patient_warnings'))},
            help="Allergies, contraindications and critical information of "
            "the patient in GNU Health."),
        'get_patient_warnings')

    def get_start_time(self, name):
        return self.scheduled_at.replace(second=0)

    @staticmethod
    def order_start_time(tables):
        table, _ = tables[None]
        return [table.scheduled_at]

    @classmethod
    @without_check_access
    def get_patient_lines(cls, steps, name):
        patients = {s.id: s.request.patient for s in cls.browse(steps)}
        return describe_patients(patients)

    @classmethod
    @without_check_access
    def get_patient_identity(cls, steps, name):
        readable = readable_patients(steps)
        return {
            s.id: _identity(s.request.patient)
            if s.request.patient.id in readable else ''
            for s in cls.browse(steps)}

    @classmethod
    @without_check_access
    def get_study_lines(cls, steps, name):
        clinical = cls.get_clinical_information(steps, name)
        return {
            s.id: _lines(
                ', '.join(filter(None, [
                            s.description or s.request.requested_test.rec_name,
                            s.laterality and s.laterality_string])),
                (clinical[s.id] or '').partition('\n')[0])
            for s in cls.browse(steps)}

    @staticmethod
    def order_study_lines(tables):
        table, _ = tables[None]
        return [table.description]

    @staticmethod
    def order_device_lines(tables):
        table, _ = tables[None]
        return [table.modality, table.station_aetitle]

    @staticmethod
    def order_status_lines(tables):
        table, _ = tables[None]
        return [table.state]

    @classmethod
    def get_device_lines(cls, steps, name):
        return {
            s.id: _lines(
                s.modality, (s.station_aetitle or '').replace('\\', '\n'))
            for s in steps}

    @classmethod
    def get_status_lines(cls, steps, name):
        warnings = cls.get_patient_warnings(steps, name)
        with without_check_access():
            return {
                s.id: _lines(s.state_string, *cls._status_details(s),
                    (warnings[s.id] or '').partition('\n')[0])
                for s in cls.browse(steps)}

    @classmethod
    def _status_details(cls, step):
        "Return what to say of a step beside its state"
        if step.overdue:
            return [cls.__names__('overdue')['field']]
        if step.state == 'rejected':
            return [step.rejection_reason]
        return []

    @classmethod
    @without_check_access
    def get_clinical_information(cls, steps, name):
        found = {}
        for step in cls.browse(steps):
            request = step.request
            found[step.id] = _lines(
                request.context.rec_name if request.context else None,
                request.comment)
        return found

    @classmethod
    def get_patient_warnings(cls, steps, name):
        "Return the warnings for those who perform or order studies"
        model = 'gnuhealth.patient.disease'
        ModelAccess = Pool().get('ir.model.access')
        if Transaction().user and not (
                may_press(cls, 'start')
                or ModelAccess.get_access([model])[model]['read']):
            return dict.fromkeys(map(int, steps))
        return cls._describe_warnings(steps)

    @classmethod
    @without_check_access
    def _describe_warnings(cls, steps):
        steps = cls.browse(steps)
        readable = readable_patients(steps)
        allergies = _find_allergies({
                s.request.patient for s in steps
                if s.request.patient.id in readable})
        return {
            s.id: _lines(
                _describe_allergies(
                    s.request.patient, allergies[s.request.patient.id]),
                s.request.patient.critical_info) or None
            if s.request.patient.id in readable else None
            for s in steps}


def _find_allergies(patients):
    "Return the names of allergies by the ids of patients"
    Disease = Pool().get('gnuhealth.patient.disease')
    found = defaultdict(list)
    for sub_ids in grouped_slice([p.id for p in patients]):
        for disease in Disease.search([
                    ('patient', 'in', list(sub_ids)),
                    ['OR',
                        ('is_allergy', '=', True),
                        ('allergy_type', '!=', None),
                        ('pathology.groups.disease_group.code',
                            '=', 'ALLERGIC')],
                    ], order=[('id', 'ASC')]):
            if disease.status != 'h':
                found[disease.patient.id].append(disease.pathology.rec_name)
    return found


def _describe_allergies(patient, names):
    if names:
        return gettext(
            'health_orthanc.msg_patient_allergies',
            names=', '.join(dict.fromkeys(names)))
    if patient.crit_allergic:
        return gettext('health_orthanc.msg_patient_allergic')
