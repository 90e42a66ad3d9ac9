# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of worklist templates"""

from contextlib import contextmanager
from contextvars import ContextVar

from sql import Window
from sql.functions import RowNumber

from trytond.model import Model
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from ..core.dicom.values import split_ae_titles
from ..core.worklist import item as worklist
from ..orders.states import OPEN_STATES

__all__ = [
    'REACHABLE', 'RecordView', 'party_name', 'patient_identity', 'reach',
    'reachable', 'rendering', 'template_data']

# The step that is being rendered, and what is known of other records
_current = ContextVar('worklist_current', default=(None, None))

# Scheduled Procedure Step Status by state (PS3.3 C.4.10)
_STATUSES = {'scheduled': 'SCHEDULED', 'in_progress': 'STARTED'}
_SEXES = {'m': 'M', 'f': 'F', 'nb': 'O', 'other': 'O', 'nd': 'O'}
_MAY_BE_PREGNANT, _UNKNOWN_PREGNANCY = '3', '4'


class Known:
    """What several steps have in common: it is read once for all of them.

    It holds plain values, no records, and stays valid between transactions as
    long as an older state of the records may be rendered.
    """

    def __init__(self):
        self._values = {}
        self._weights = {}
        self._zones = {}

    def read(self, steps):
        """Read what is faster to read for several steps at once.

        Parameters
        ----------
        steps : list of ProcedureStep
        """
        self._read_zones({s.institution for s in steps if s.institution})
        self._read_weights({s.request.patient.id for s in steps})

    def _read_zones(self, institutions):
        Institution = Pool().get('gnuhealth.institution')
        self._zones.update(Institution.zones(institutions))

    def _read_weights(self, ids):
        ids -= self._weights.keys()
        if ids:
            self._weights.update(_weights(ids))

    def zone(self, institution):
        "Return the time zone of an institution, or of none"
        id_ = institution.id if institution else None
        if id_ not in self._zones:
            self._read_zones([institution] if institution else [])
        return self._zones[id_]

    def weight(self, patient):
        "Return the last weight of a patient, None if it is unknown"
        self._read_weights({patient.id})
        return self._weights[patient.id]

    def get(self, function, record):
        "Return what a function returns for a record, which is called once"
        key = function, record.__name__, record.id
        if key not in self._values:
            self._values[key] = function(record)
        return self._values[key]


@contextmanager
def rendering(step, known=None):
    """Use a certain step for the variables of its order.

    Parameters
    ----------
    step : ProcedureStep
    known : Known, optional
        It has read the step.
    """
    token = _current.set((step, known))
    try:
        yield
    finally:
        _current.reset(token)


# What templates may reach from ``my``: who writes one need not be allowed to
# read the record that is shown, and everybody who may read the order, and
# each device, sees what comes of it. Of other models only the name is shown.
# Other modules add to it by `get_worklist_template_data()`.
REACHABLE = {
    'gnuhealth.imaging.test.request': {
        'accession_number', 'accession_alias', 'comment', 'context', 'date',
        'doctor', 'merge_id', 'patient', 'request', 'request_line',
        'requested_at', 'requested_test', 'state', 'steps',
        'study_instance_uid', 'urgent', 'worklist_status'},
    'gnuhealth.imaging.procedure.step': {
        'description', 'duration', 'institution', 'laterality', 'location',
        'modality', 'number', 'performing_physician', 'scheduled_at',
        'scheduled_end', 'state', 'station_aetitle', 'station_name',
        'step_id'},
    'gnuhealth.imaging.test': {
        'aetitle', 'code', 'name', 'orthanc_duration', 'orthanc_location',
        'orthanc_modality', 'orthanc_station_name',
        'orthanc_step_description', 'test_type'},
    'gnuhealth.imaging.test.type': {'code', 'name'},
    'gnuhealth.patient': {
        'age', 'biological_sex', 'critical_summary', 'dob', 'gender',
        'lastname', 'party', 'puid'},
    'party.party': {
        'dob', 'est_dob', 'gender', 'is_person', 'lastname', 'name',
        'person_names', 'ref'},
    'gnuhealth.person_name': {
        'family', 'given', 'prefix', 'suffix', 'use'},
    'gnuhealth.healthprofessional': {
        'code', 'institution', 'main_specialty', 'party'},
    'gnuhealth.hp_specialty': {'specialty'},
    'gnuhealth.specialty': {'code', 'name'},
    'gnuhealth.institution': {'code', 'party'},
    'gnuhealth.pathology': {'code', 'name'},
    }


def reachable(more=None):
    """Return what templates may reach from ``my``.

    Parameters
    ----------
    more : dict of set, optional
        By model, the fields that other modules add: the value of
        ``reachable`` in the result of `get_worklist_template_data()`.

    Returns
    -------
    dict of set
        By model, the names of fields.
    """
    if not more:
        return REACHABLE
    return {
        model: REACHABLE.get(model, set()) | set(more.get(model, ()))
        for model in REACHABLE.keys() | more.keys()}


def reach(more=None):
    """Return what templates may read of records, to check them.

    Parameters
    ----------
    more : dict of set, optional
        As for `reachable`.

    Returns
    -------
    Reach
    """
    pool = Pool()
    return worklist.Reach(
        {'my': 'gnuhealth.imaging.test.request'},
        {model: _targets(pool.get(model), names)
            for model, names in reachable(more).items()})


def _targets(Model, names):
    "Return fields that can be read, with the models of their records"
    fields = {n: f for n, f in Model._fields.items() if n in names}
    return {
        name: (
            field.get_target().__name__ if hasattr(field, 'get_target')
            else None)
        for name, field in fields.items()}


class RecordView:
    """A record for templates: what is reachable of it can be read.

    All else is hidden.  Texts are escaped as values of variables are.  Binary
    fields and methods are hidden.

    Parameters
    ----------
    record : Model
    kind : str
        The type of the template: ``'dump2dcm'`` or ``'json'``.
    readable : dict of set, optional
        The result of `reachable`.
    """
    __slots__ = ('_record', '_kind', '_readable')

    def __init__(self, record, kind, readable=REACHABLE):
        self._record = record
        self._kind = kind
        self._readable = readable

    def __getattr__(self, name):
        record = self._record
        if name not in {'id', 'rec_name'} and (
                name not in self._readable.get(record.__name__, ())
                or name not in record._fields):
            raise worklist.Unreachable(name)
        return self._wrap(getattr(record, name))

    def _wrap(self, value):
        if isinstance(value, Model):
            return RecordView(value, self._kind, self._readable)
        if isinstance(value, str):
            return worklist.safe_text(value, self._kind)
        if isinstance(value, (list, tuple)):
            return [self._wrap(item) for item in value]
        if isinstance(value, (dict, bytes)):
            return None
        return value

    def __str__(self):
        return worklist.safe_text(self._record.rec_name, self._kind)

    def __bool__(self):
        return True


def template_data(request):
    """Return the variables of an order and its current step.

    Parameters
    ----------
    request : Request

    Returns
    -------
    dict
        By DICOM keyword; ``my`` is the order.
    """
    step, known = _current.get()
    if step is None or step.request != request:
        step, known = next(
            (s for s in request.steps if s.state in OPEN_STATES), None), None
    known = known or Known()
    return {
        'my': request,
        **_order_data(request, known),
        **_copy(known.get(_patient_data, request.patient)),
        'PatientWeight': known.weight(request.patient),
        **(_step_data(step, request.patient, known) if step else {}),
        }


def _order_data(request, known):
    doctor = request.doctor
    template = request.worklist_template
    physician, service = (
        known.get(_doctor_data, doctor) if doctor else ('', None))
    line = request.request_line or ''
    return {
        'template_type': template.template_type if template else 'dump2dcm',
        'SpecificCharacterSet': (
            template.charset if template else None) or 'ISO_IR 192',
        'MergeID': request.merge_id,
        'AccessionNumber': request.accession_number,
        'StudyInstanceUID': request.study_instance_uid,
        'RequestedProcedureID': (
            line if 0 < len(line) <= 16 else request.accession_number),
        'RequestedProcedureDescription': known.get(
            _name, request.requested_test),
        'RequestedProcedurePriority': 'STAT' if request.urgent else 'ROUTINE',
        'RequestedProcedureComments': request.comment,
        'ReasonForTheRequestedProcedure': (
            request.context.rec_name if request.context else None),
        'RequestingPhysician': physician,
        'ReferringPhysicianName': physician,
        'RequestingService': service,
        }


def _doctor_data(doctor):
    "Return the PN of a health professional, and the main specialty"
    specialty = doctor.main_specialty
    return party_name(doctor.party), specialty.rec_name if specialty else None


def _name(record):
    return record.rec_name


def _birth_date(patient):
    return patient.party.dob


def _copy(data):
    "Return variables that modules may change"
    return {
        name: list(value) if isinstance(value, list) else value
        for name, value in data.items()}


def patient_identity(patient):
    """Return the identity of a patient.

    Parameters
    ----------
    patient : Patient

    Returns
    -------
    dict
        PatientName, PatientID, PatientBirthDate (``YYYYMMDD``) and
        PatientSex; None for what is unknown.
    """
    party = patient.party
    return {
        'PatientName': party_name(party),
        'PatientID': patient.puid,
        'PatientBirthDate': (
            party.dob.strftime('%Y%m%d') if party.dob else None),
        'PatientSex': _SEXES.get(patient.biological_sex or party.gender, ''),
        }


def _patient_data(patient):
    identity = patient_identity(patient)
    return {
        **identity,
        'PregnancyStatus': _pregnancy(patient, identity['PatientSex']),
        'Allergies': sorted({
                d.pathology.rec_name for d in patient.diseases
                if d.is_allergy and d.pathology}),
        # GNU Health joins alerts with \n; a name may hold other line ends
        'MedicalAlerts': sorted(filter(
                None, (patient.critical_summary or '').split('\n'))),
        }


def _step_data(step, patient, known):
    institution = step.institution
    performer = step.performing_physician
    start = worklist.local_start(
        step.scheduled_at, known.zone(institution))
    return {
        'ScheduledProcedureStepStartDate': start.date,
        'ScheduledProcedureStepStartTime': start.time,
        'TimezoneOffsetFromUTC': start.offset,
        'PatientAge': worklist.patient_age(
            known.get(_birth_date, patient), start.day),
        'InstitutionName': (
            known.get(_name, institution) if institution else None),
        'ScheduledProcedureStepID': step.step_id,
        'ScheduledProcedureStepDescription': (
            step.description
            or known.get(_name, step.request.requested_test)),
        'ScheduledProcedureStepStatus': _STATUSES.get(step.state),
        'ScheduledPerformingPhysicianName': (
            known.get(_doctor_data, performer)[0] if performer else None),
        'ScheduledStationName': step.station_name,
        'ScheduledStationAETitle': _station(step),
        'ScheduledProcedureStepLocation': step.location,
        'Modality': step.modality,
        'Laterality': step.laterality,
        }


def _station(step):
    "Return the AE title of a step, or a list of several"
    titles = split_ae_titles(step.station_aetitle)
    return titles if len(titles) > 1 else step.station_aetitle


def party_name(party):
    "Return the PN of a party: the official name of a person"
    official = [n for n in party.person_names if n.use == 'official']
    if official:
        name = official[0]
        return worklist.person_name(
            name.family or '', name.given or '', '', name.prefix or '',
            name.suffix or '')
    if party.is_person:
        return worklist.person_name(party.lastname or '', party.name or '')
    return worklist.person_name(party.name or '', '')


def _weights(ids):
    "Return the last weight in kg, or None, by the id of each patient"
    table = Pool().get('gnuhealth.patient.evaluation').__table__()
    cursor = Transaction().connection.cursor()
    found = dict.fromkeys(ids)
    for sub_ids in grouped_slice(sorted(ids)):
        latest = table.select(
            table.patient, table.weight,
            RowNumber(window=Window(
                    [table.patient],
                    order_by=[table.evaluation_start.desc])).as_('number'),
            where=reduce_ids(table.patient, list(sub_ids))
            & (table.weight > 0))
        cursor.execute(*latest.select(
                latest.patient, latest.weight, where=latest.number == 1))
        found.update((id_, f'{weight:g}') for id_, weight in cursor)
    return found


def _pregnancy(patient, sex):
    """Return the PregnancyStatus (PS3.3 C.7.1.3).

    GNU Health cannot record that somebody is not pregnant: unknown is the
    default.
    """
    if sex == 'M':
        return None
    if getattr(patient, 'currently_pregnant', False):
        return _MAY_BE_PREGNANT
    return _UNKNOWN_PREGNANCY if patient.childbearing_age else None
