# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources of Orthanc become records.

The functions run in a transaction of the caller, without access checks.  Each
takes a batch, and the number of SQL statements does not depend on its size but
for what has to be changed.  Storing the same batch again changes nothing.
"""

from collections import Counter, defaultdict
from operator import itemgetter
from types import SimpleNamespace

from sql import Literal, Null
from sql.aggregate import Count
from sql.functions import CurrentTimestamp

from trytond.model import fields
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from .core.matching import Identity, Verdict, compare_identities
from .core.values import parse_person_name
from .mirror import now

__all__ = [
    'instances_counts', 'link_waiting_studies', 'mark_missing_patients',
    'mark_missing_studies', 'store_instances', 'store_patients',
    'store_series', 'store_studies', 'store_study_instances',
    'unknown_instances']

_LINKED_BY_MACHINE = {'auto_certain', 'auto_unsure', 'unlinked'}


def store_patients(server, resources):
    """Create or update what Orthanc knows of patients.

    Returns
    -------
    Counter
        Of the names of the run's fields.
    """
    Patient = Pool().get('gnuhealth.orthanc.patient')
    known = _known(
        Patient, 'uuid', {r.orthanc_id for r in resources},
        server=[server.id])
    created, updated = _split(known, resources, _patient_values)
    Patient.create([
            {'server': server.id, 'uuid': r.orthanc_id, **values}
            for r, values in created])
    _write(Patient, updated)
    return Counter(
        patients_created=len(created), patients_updated=len(updated))


def _patient_values(resource):
    tags = resource.tags
    return {
        'name': tags.name or None,
        'display_name': tags.display_name or None,
        'bd': tags.birth_date,
        'sex': tags.sex or None,
        'ident': tags.patient_id or None,
        'missing_since': None,
        }


def _known(Model, key, orthanc_ids, **parents):
    """Return what is stored of records, by their Orthanc id.

    It is what the columns hold, since nothing else is compared: records that
    did not change, mostly all, are not worth to be loaded.

    Parameters
    ----------
    key : str
        The field with the Orthanc id.
    parents : set of int
        The values of a Many2One field that are meant: another server may
        hold the same.
    """
    (parent, allowed), = parents.items()
    table = Model.__table__()
    names = [
        name for name, field in Model._fields.items()
        if not isinstance(field, fields.Function) and field.sql_type()]
    columns = [getattr(table, name) for name in names]
    cursor = Transaction().connection.cursor()
    known = {}
    for sub_ids in grouped_slice(list(orthanc_ids)):
        cursor.execute(*table.select(
                *columns, where=getattr(table, key).in_(list(sub_ids))))
        for values in cursor:
            row = SimpleNamespace(**dict(zip(names, values)))
            if getattr(row, parent) in allowed:
                known[getattr(row, key)] = row
    return known


def _split(known, resources, get_values):
    "Return resources with all values to create, rows with the changed ones"
    created, updated = [], []
    for resource in {r.orthanc_id: r for r in resources}.values():
        row = known.get(resource.orthanc_id)
        values = get_values(resource)
        if row is None:
            created.append((resource, values))
            continue
        changed = {
            name: value for name, value in values.items()
            if getattr(row, name) != value}
        if changed:
            updated.append((row, changed))
    return created, updated


def _write(Model, updated):
    "Write values to the records of rows, those that are equal at once"
    alike = {}
    for row, values in updated:
        key = tuple(sorted(values.items(), key=itemgetter(0)))
        _, ids = alike.setdefault(key, (values, []))
        ids.append(row.id)
    actions = []
    for values, ids in alike.values():
        actions.extend((Model.browse(ids), values))
    if actions:
        Model.write(*actions)


def store_studies(server, resources):
    """Create or update studies, and link those that no person has decided.

    Their patients are stored before.

    Returns
    -------
    Counter
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    known = _known(
        Study, 'orthanc_UID', {r.orthanc_id for r in resources},
        server=[server.id])
    patients = _known(
        pool.get('gnuhealth.orthanc.patient'), 'uuid',
        {r.patient_orthanc_id for r in resources}, server=[server.id])
    values = {}
    for resource in resources:
        values[resource.orthanc_id] = _study_values(
            resource, patients.get(resource.patient_orthanc_id))
    _link(known, patients, values)
    created, updated = _split(
        known, resources, lambda r: values[r.orthanc_id])
    Study.create([
            {'server': server.id, 'orthanc_UID': r.orthanc_id, **values}
            for r, values in created])
    _write(Study, updated)
    _link_patients(
        patients.values(),
        [(v['orthanc_patient'], v) for v in values.values()])
    counts = Counter(
        studies_created=len(created), studies_updated=len(updated))
    return counts + _mark_missing_series(known, resources)


def _study_values(resource, orthanc_patient):
    patient = resource.patient
    return {
        'orthanc_patient': orthanc_patient.id if orthanc_patient else None,
        'patient_name': patient.name or None,
        'patient_display_name': patient.display_name or None,
        'patient_id': patient.patient_id or None,
        'patient_birth_date': patient.birth_date,
        'patient_sex': patient.sex or None,
        'study_instance_UID': resource.study_instance_uid or None,
        'date': resource.date,
        'study_time': _seconds(resource.time),
        'study_description': resource.description or None,
        'requested_procedure_description': (
            resource.requested_procedure_description or None),
        'study_id': resource.study_id or None,
        'accession_number': resource.accession_number or None,
        'institution': resource.institution_name or None,
        'referring_physician_name': (
            resource.referring_physician_name or None),
        'requesting_physician': resource.requesting_physician or None,
        'performing_physician_name': (
            resource.performing_physician_name or None),
        'malformed_tags': _malformed(resource),
        'last_update': resource.last_update,
        'stable': resource.is_stable,
        'missing_since': None,
        }


def _seconds(time):
    # Tryton stores no fractions
    return time.replace(microsecond=0) if time else None


def _malformed(resource):
    return '\n'.join(
        f'{keyword}: {text}' for keyword, text in resource.malformed) or None


def _link(known, orthanc_patients, values):
    """Add the values of the link to those of studies, none to leave it.

    Parameters
    ----------
    known : dict
        Rows of studies by Orthanc id.
    orthanc_patients : dict
        Rows of Orthanc patients.
    values : dict
        What is going to be stored, by Orthanc id.
    """
    waiting = {
        id_: found for id_, found in values.items()
        if id_ not in known or _is_open(known[id_], found)}
    linker = _Linker(orthanc_patients.values(), waiting.values())
    for id_, found in waiting.items():
        found.update(linker.values(known.get(id_), found))


_IDENTITY_FIELDS = [
    'patient_id', 'patient_name', 'patient_birth_date', 'patient_sex']


def _is_open(study, values):
    "Return whether the machine may decide on a stored study anew"
    if study.decided_by or study.link_status not in _LINKED_BY_MACHINE:
        return False
    if study.link_status == 'unlinked':
        return True
    # Of what 5.0 has linked not all tags are known: at the first meeting
    # they are new, but nobody has changed them
    return bool(study.last_update) and any(
        getattr(study, name) != values[name] for name in _IDENTITY_FIELDS)


class _Linker:
    """Finds the patients of GNU Health whose PUID the images carry

    A patient is proposed only where no field contradicts it.

    Parameters
    ----------
    orthanc_patients : iterable of rows
    studies : iterable of dict
        Values of the studies to be linked.
    """

    def __init__(self, orthanc_patients, studies):
        studies = list(studies)
        wanted = {values['orthanc_patient'] for values in studies}
        decided = [
            row for row in orthanc_patients
            if row.id in wanted and row.decided_by]
        self._decided = self._decisions(decided)
        self._seen = {row.id: _seen_identity(row) for row in decided}
        self._patients = self._registered({
                values['patient_id'] for values in studies})

    @staticmethod
    def _decisions(rows):
        "Return the patients that people chose for Orthanc patients"
        Patient = Pool().get('gnuhealth.patient')
        patients = {
            patient.id: patient for patient in Patient.browse(list({
                        row.patient for row in rows if row.patient}))}
        return {row.id: patients.get(row.patient) for row in rows}

    @staticmethod
    def _registered(patient_ids):
        Patient = Pool().get('gnuhealth.patient')
        patients = defaultdict(list)
        for sub_ids in grouped_slice(sorted(filter(None, patient_ids))):
            for patient in Patient.search(
                    [('party.ref', 'in', list(sub_ids))], order=[]):
                patients[patient.party.ref].append(patient)
        return patients

    def values(self, study, values):
        "Return the values of the link of a study, whose row is given if any"
        patient, status = self._propose(values)
        patient = patient.id if patient else None
        if study and study.imaging_test and patient != study.patient:
            # A result hangs on it: a person shall look
            return {'link_status': 'auto_unsure'}
        return {'patient': patient, 'link_status': status}

    def _propose(self, values):
        decided = values['orthanc_patient'] in self._decided
        if decided:
            patient = self._decided[values['orthanc_patient']]
        else:
            candidates = self._patients.get(values['patient_id'], [])
            patient = candidates[0] if len(candidates) == 1 else None
        if not patient:
            return None, 'unlinked'
        images = _images_identity(values)
        comparison = compare_identities(_patient_identity(patient), images)
        if comparison.certain:
            return patient, 'auto_certain'
        if self._is_vetoed(comparison, images, values['orthanc_patient']):
            return None, 'unlinked'
        return patient, 'auto_unsure'

    def _is_vetoed(self, comparison, images, orthanc_patient):
        """Return whether a field says that these are two persons.

        Whoever chose the patient for an Orthanc patient has seen what
        contradicts in the latter; what others of its studies say is new.
        """
        if orthanc_patient not in self._decided:
            return comparison.contradicts
        seen = compare_identities(self._seen[orthanc_patient], images)
        return any(
            verdict is Verdict.DIFFERS and known is not Verdict.EQUAL
            for verdict, known in zip(comparison.verdicts, seen.verdicts))


def _seen_identity(row):
    "Return the identity of an Orthanc patient's row"
    return _images_identity({
            'patient_id': row.ident,
            'patient_name': row.name,
            'patient_birth_date': row.bd,
            'patient_sex': row.sex,
            })


def _patient_identity(patient):
    party = patient.party
    names = [f"{party.lastname or ''} {party.name or ''}"]
    names += [
        f"{n.family or ''} {n.given or ''}" for n in party.person_names
        if n.use not in {'nickname', 'anonymous', 'temp'}]
    sex = patient.biological_sex or party.gender
    return Identity(
        party.ref, tuple(names), party.dob,
        {'m': 'M', 'f': 'F'}.get(sex))


def _images_identity(values):
    name = parse_person_name(values['patient_name'])
    groups = (
        [name.alphabetic, name.ideographic, name.phonetic] if name else [])
    return Identity(
        values['patient_id'],
        tuple(f'{g.family} {g.given} {g.middle}' for g in groups if g),
        values['patient_birth_date'], values['patient_sex'])


def _link_patients(rows, linked):
    """Let Orthanc patients have the patient that their certain studies have.

    Parameters
    ----------
    rows : iterable
        Of the Orthanc patients.
    linked : iterable of tuple
        The id of the Orthanc patient and the values of a study's link.
    """
    Patient = Pool().get('gnuhealth.orthanc.patient')
    found = defaultdict(set)
    for id_, values in linked:
        if values.get('link_status') == 'auto_certain':
            found[id_].add(values['patient'])
    _write(Patient, [
            (row, {'patient': found[row.id].pop(), 'decided_by': None})
            for row in rows
            if len(found[row.id]) == 1
            and not row.decided_by and not row.patient])


def _mark_missing_series(known, resources):
    "Mark recorded series that their studies hold no more"
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    listed = {
        known[r.orthanc_id].id: set(r.series_ids)
        for r in resources if r.orthanc_id in known}
    if not listed:
        return Counter()
    table = Series.__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(
            table.id, table.study, table.orthanc_UID,
            where=reduce_ids(table.study, list(listed))
            & (table.missing_since == Null)))
    gone = [
        id_ for id_, study, orthanc_id in cursor
        if orthanc_id not in listed[study]]
    return Counter(series_missing=_mark_series(gone))


def _mark_series(ids):
    pool = Pool()
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    Instance = pool.get('gnuhealth.imaging_orthanc.series_instances')
    if not ids:
        return 0
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    for sub_ids in grouped_slice(ids):
        cursor.execute(*table.update(
                [table.missing_since], [now()],
                where=reduce_ids(table.series, sub_ids)
                & (table.missing_since == Null)))
    return Series.mark_missing(ids)


def store_series(server, resources):
    """Create or update series of stored studies.

    Series of studies that are not stored are passed over.

    Returns
    -------
    Counter
    """
    pool = Pool()
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    studies = _ids_by_orthanc_id(
        server, 'gnuhealth.imaging_orthanc.study',
        {r.study_orthanc_id for r in resources})
    resources = [r for r in resources if r.study_orthanc_id in studies]
    known = _known(
        Series, 'orthanc_UID', {r.orthanc_id for r in resources},
        study=set(studies.values()))
    created, updated = _split(
        known, resources,
        lambda r: _series_values(r, studies[r.study_orthanc_id]))
    # Nothing in a new series is of people yet
    _insert(Series, [
            {'orthanc_UID': r.orthanc_id, **values} for r, values in created])
    _write(Series, updated)
    _update_modalities(studies.values())
    counts = Counter(
        series_created=len(created), series_updated=len(updated))
    return counts + _mark_missing_instances(known, resources)


def _series_values(resource, study):
    return {
        'study': study,
        'series_UID': resource.series_instance_uid or None,
        'series_number': (
            None if resource.number is None else str(resource.number)),
        'series_description': resource.description or None,
        'modality': resource.modality or None,
        'body_part_examined': resource.body_part or None,
        'protocol_name': resource.protocol_name or None,
        'station_name': resource.station_name or None,
        'manufacturer': resource.manufacturer or None,
        'operators_name': resource.operators_name or None,
        'series_date': resource.date,
        'series_time': _seconds(resource.time),
        'malformed_tags': _malformed(resource),
        'instances_count': len(resource.instance_ids),
        'last_update': resource.last_update,
        'stable': resource.is_stable,
        'missing_since': None,
        }


def _ids_by_orthanc_id(server, model, orthanc_ids):
    "Return the record ids of the studies or series of a server"
    Model = Pool().get(model)
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Model.__table__()
    study = table if Model is Study else Study.__table__()
    source = table if Model is Study else table.join(
        study, condition=table.study == study.id)
    cursor = Transaction().connection.cursor()
    found = {}
    for sub_ids in grouped_slice(list(orthanc_ids)):
        cursor.execute(*source.select(
                table.orthanc_UID, table.id,
                where=table.orthanc_UID.in_(list(sub_ids))
                & (study.server == server.id)))
        found.update(cursor)
    return found


def _update_modalities(study_ids):
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    table = Series.__table__()
    cursor = Transaction().connection.cursor()
    modalities = {id_: set() for id_ in study_ids}
    for sub_ids in grouped_slice(list(modalities)):
        cursor.execute(*table.select(
                table.study, table.modality,
                where=reduce_ids(table.study, sub_ids)
                & (table.missing_since == Null) & (table.modality != Null),
                group_by=[table.study, table.modality]))
        for study, modality in cursor:
            modalities[study].add(modality)
    study = Study.__table__()
    by_text = defaultdict(list)
    for sub_ids in grouped_slice(list(modalities)):
        cursor.execute(*study.select(
                study.id, study.modalities,
                where=reduce_ids(study.id, sub_ids)))
        for id_, stored in cursor:
            text = ', '.join(sorted(modalities[id_])) or None
            if stored != text:
                by_text[text].append(id_)
    _write_same(Study, 'modalities', by_text)


def _write_same(Model, name, by_value):
    "Write each value to its records in one statement, by-passing the ORM"
    table = Model.__table__()
    cursor = Transaction().connection.cursor()
    for value, ids in by_value.items():
        for sub_ids in grouped_slice(ids):
            cursor.execute(*table.update(
                    [getattr(table, name)], [value],
                    where=reduce_ids(table.id, sub_ids)))


def _mark_missing_instances(known, resources):
    "Mark recorded instances that their series hold no more"
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    listed = {
        known[r.orthanc_id].id: set(r.instance_ids)
        for r in resources if r.orthanc_id in known}
    counts = instances_counts(listed)
    # Orthanc stamps a series when an instance comes, not when one goes. One
    # whose stamp and count agree holds the same instances; others are
    # compared, so that no more are recorded afterwards than it holds.
    stamped = {
        known[r.orthanc_id].id for r in resources if r.orthanc_id in known
        and known[r.orthanc_id].last_update != r.last_update}
    doubtful = {
        id_: found for id_, found in listed.items()
        if counts.get(id_) and (
            id_ in stamped or counts[id_] != len(found))}
    gone = [
        id_ for id_, series, orthanc_id in _present_instances(doubtful)
        if orthanc_id not in doubtful[series]]
    return Counter(instances_missing=Instance.mark_missing(gone))


def instances_counts(series_ids):
    "Return how many instances are recorded, and present, by series"
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    counts = {}
    for sub_ids in grouped_slice(list(series_ids)):
        cursor.execute(*table.select(
                table.series, Count(Literal('*')),
                where=reduce_ids(table.series, sub_ids)
                & (table.missing_since == Null),
                group_by=table.series))
        counts.update(cursor)
    return counts


def _present_instances(series_ids):
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    for sub_ids in grouped_slice(list(series_ids)):
        cursor.execute(*table.select(
                table.id, table.series, table.orthanc_UID,
                where=reduce_ids(table.series, sub_ids)
                & (table.missing_since == Null)))
        yield from cursor.fetchall()


def unknown_instances(server, resources):
    """Return the Orthanc ids of the series' instances that are not recorded.

    Parameters
    ----------
    resources : list of SeriesResource
    """
    series = _ids_by_orthanc_id(
        server, 'gnuhealth.imaging_orthanc.study_series',
        [r.orthanc_id for r in resources])
    listed = {
        series[r.orthanc_id]: r.instance_ids
        for r in resources if r.orthanc_id in series}
    counts = instances_counts(listed)
    differing = [
        id_ for id_, found in listed.items()
        if counts.get(id_, 0) != len(found)]
    recorded = {
        orthanc_id for _, _, orthanc_id in _present_instances(
            [id_ for id_ in differing if counts.get(id_)])}
    return [
        orthanc_id for id_ in differing for orthanc_id in listed[id_]
        if orthanc_id not in recorded]


def store_instances(server, resources):
    """Create or update instances of stored series.

    Mirrored instances hold nothing that people write: they are stored by SQL,
    which keeps the model's rules (unique in their series, who and when).

    Returns
    -------
    Counter
    """
    series = _ids_by_orthanc_id(
        server, 'gnuhealth.imaging_orthanc.study_series',
        {r.series_orthanc_id for r in resources})
    resources = {
        r.orthanc_id: r for r in resources if r.series_orthanc_id in series}
    if not resources:
        return Counter()
    _lock_series(list(series.values()))
    known = _known_instances(series.values(), resources)
    rows = {
        id_: _instance_row(r, series[r.series_orthanc_id])
        for id_, r in resources.items()}
    created = [row for id_, row in rows.items() if id_ not in known]
    changed = [
        (known[id_][0], row) for id_, row in rows.items()
        if id_ in known and known[id_][1:-1] != row]
    found = [
        known[id_][0] for id_, row in rows.items()
        if id_ in known and known[id_][1:-1] == row and known[id_][-1]]
    _insert(
        Pool().get('gnuhealth.imaging_orthanc.series_instances'),
        [dict(zip(_INSTANCE_COLUMNS, row)) for row in created])
    _update_instances(changed)
    _find_instances(found)
    return Counter(
        instances_created=len(created),
        instances_updated=len(changed) + len(found))


def store_study_instances(server, study, resources):
    """Store all the instances that a study holds, and mark the others.

    Returns
    -------
    Counter
    """
    pool = Pool()
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    Instance = pool.get('gnuhealth.imaging_orthanc.series_instances')
    series = Series.search([('study', '=', study.id)])
    listed = {s.orthanc_UID: set() for s in series}
    for resource in resources:
        listed.get(resource.series_orthanc_id, set()).add(resource.orthanc_id)
    by_id = {s.id: listed[s.orthanc_UID] for s in series}
    missing = Instance.mark_missing([
            id_ for id_, series_id, orthanc_id in _present_instances(by_id)
            if orthanc_id not in by_id[series_id]])
    by_count = defaultdict(list)
    for one in series:
        if one.instances_count != len(by_id[one.id]):
            by_count[len(by_id[one.id])].append(one.id)
    _write_same(Series, 'instances_count', by_count)
    return Counter(instances_missing=missing) + store_instances(
        server, resources)


_INSTANCE_COLUMNS = [
    'series', 'orthanc_UID', 'sop_instance_UID', 'instance_number',
    'image_position_patient', 'number_of_frames']


def _instance_row(resource, series):
    return (
        series, resource.orthanc_id, resource.sop_instance_uid or None,
        resource.number,
        resource.image_position_patient.replace('\\', ', ') or None,
        resource.number_of_frames)


def _lock_series(ids):
    "Let nobody else store instances of the series before the commit"
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    table = Series.__table__()
    cursor = Transaction().connection.cursor()
    for sub_ids in grouped_slice(sorted(ids)):
        cursor.execute(*table.update(
                [table.id], [table.id], where=reduce_ids(table.id, sub_ids)))


def _known_instances(series_ids, orthanc_ids):
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    series_ids = set(series_ids)
    columns = [getattr(table, name) for name in _INSTANCE_COLUMNS]
    known = {}
    for sub_ids in grouped_slice(list(orthanc_ids)):
        cursor.execute(*table.select(
                table.id, *columns, table.missing_since,
                where=table.orthanc_UID.in_(list(sub_ids))))
        known.update(
            (row[2], tuple(row)) for row in cursor if row[1] in series_ids)
    return known


def _insert(Model, vlist):
    """Create records by SQL, by-passing the ORM.

    All have values for the same columns, which are those of mirrored tags.
    """
    if not vlist:
        return
    table = Model.__table__()
    cursor = Transaction().connection.cursor()
    columns = [getattr(table, name) for name in vlist[0]]
    stamp = [0, CurrentTimestamp()]
    for sub_vlist in grouped_slice(vlist):
        cursor.execute(*table.insert(
                [table.create_uid, table.create_date, *columns],
                [[*stamp, *values.values()] for values in sub_vlist]))


def _update_instances(updated):
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    columns = [getattr(table, name) for name in _INSTANCE_COLUMNS]
    for id_, row in updated:
        cursor.execute(*table.update(
                [*columns, table.missing_since, table.write_uid,
                    table.write_date],
                [*row, Null, 0, CurrentTimestamp()], where=table.id == id_))


def _find_instances(ids):
    "Let instances that were missing be there again, as they were"
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    for sub_ids in grouped_slice(ids):
        cursor.execute(*table.update(
                [table.missing_since, table.write_uid, table.write_date],
                [Null, 0, CurrentTimestamp()],
                where=reduce_ids(table.id, sub_ids)))


def mark_missing_studies(server, orthanc_ids):
    """Mark studies, and all that is in them, as missing on their server.

    Returns
    -------
    Counter
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    ids = list(_ids_by_orthanc_id(
            server, 'gnuhealth.imaging_orthanc.study', orthanc_ids).values())
    if not ids:
        return Counter()
    table = Series.__table__()
    cursor = Transaction().connection.cursor()
    series = []
    for sub_ids in grouped_slice(ids):
        cursor.execute(*table.select(
                table.id, where=reduce_ids(table.study, sub_ids)))
        series.extend(id_ for id_, in cursor)
    return Counter(
        series_missing=_mark_series(series),
        studies_missing=Study.mark_missing(ids))


def mark_missing_patients(server):
    "Mark the patients of whom the server holds no study any more"
    pool = Pool()
    Patient = pool.get('gnuhealth.orthanc.patient')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    table, study = Patient.__table__(), Study.__table__()
    cursor = Transaction().connection.cursor()
    present = study.select(
        study.orthanc_patient,
        where=(study.server == server.id) & (study.missing_since == Null)
        & (study.orthanc_patient != Null))
    cursor.execute(*table.update(
            [table.missing_since], [now()],
            where=(table.server == server.id)
            & (table.missing_since == Null) & ~table.id.in_(present)))


# How many studies that wait for their patient are looked at in a run
WAITING_LIMIT = 1000


def link_waiting_studies(server):
    """Link unlinked studies whose patient was registered since.

    Returns
    -------
    Counter
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    studies = _waiting_studies(server)
    if not studies:
        return Counter()
    patients = _known(
        pool.get('gnuhealth.orthanc.patient'), 'id',
        {s.orthanc_patient for s in studies} - {None}, server=[server.id])
    linker = _Linker(patients.values(), map(vars, studies))
    updated = [(study, linker.values(study, vars(study))) for study in studies]
    updated = [
        (study, values) for study, values in updated if values.get('patient')]
    _write(Study, updated)
    _link_patients(
        patients.values(), [(s.orthanc_patient, v) for s, v in updated])
    return Counter(studies_updated=len(updated))


def _waiting_studies(server):
    "Return the rows of unlinked studies whose PatientID is somebody's PUID"
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Party = pool.get('party.party')
    table, party = Study.__table__(), Party.__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.join(
            party, condition=party.ref == table.patient_id).select(
            table.id,
            where=(table.server == server.id)
            & (table.link_status == 'unlinked')
            & (table.decided_by == Null) & (table.missing_since == Null),
            order_by=[table.id.desc], limit=WAITING_LIMIT))
    return list(_known(
            Study, 'id', [id_ for id_, in cursor],
            server=[server.id]).values())
