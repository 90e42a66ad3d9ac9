# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search keys by which patients and studies are found

Similar names share a key; see `core.matching.search_keys`.
"""

import hashlib

from sql import Literal, Null, Union
from sql.aggregate import Count, Max
from sql.conditionals import Case

from trytond.model import Index, ModelSQL, fields
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from ..common.bulk import insert_values
from ..core.matching.names import name_groups
from ..core.matching.search_keys import birth_date_variants, name_keys
from .attributes import patient_attributes
from .similar import can_search_sets, find_born_at, find_same_keys

__all__ = [
    'MARK', 'PatientKey', 'StudyKey', 'attributes_digest', 'digest_keys',
    'study_keys']

# A key that all records with keys have, for the search by birth date alone.
# With another number, all keys are created again.
MARK = '#1'
_DIGEST = '='
# The most patients found by name, and by birth date alone
NAME_LIMIT = 100
BIRTH_DATE_LIMIT = 200
# Studies from which on patients are searched for all of them together
_LEAST_SET = 20
# Patients whose keys are created at once
_BATCH = 1000


class _KeyMixin:
    "A search key of a patient or study, named by `_owner`"
    __slots__ = ()
    _owner = None

    key = fields.Char("Key", required=True, strip=False)
    birth_date = fields.Date(
        "Birth Date", help="Empty if the search does not use the birth date.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        owner = getattr(table, cls._owner)
        cls._sql_indexes.update({
                Index(
                    table, (table.key, Index.Equality()),
                    (table.birth_date, Index.Range())),
                Index(table, (owner, Index.Range())),
                })
        # Clients do not use it
        cls.__rpc__.clear()

    @classmethod
    def replace_keys(cls, wanted):
        """Replace the keys of owners; equal ones are not written.

        Parameters
        ----------
        wanted : dict
            Sets of keys with their birth dates, by the id of the owner.

        Returns
        -------
        set of int
            The owners that got a new key.
        """
        table = cls.__table__()
        owner = getattr(table, cls._owner)
        cursor = Transaction().connection.cursor()
        missing = {id_: set(keys) for id_, keys in wanted.items()}
        stale = []
        for ids in grouped_slice(list(wanted)):
            cursor.execute(*table.select(
                    table.id, owner, table.key, table.birth_date,
                    where=reduce_ids(owner, ids)))
            for id_, owner_id, *key in cursor:
                try:
                    missing[owner_id].remove(tuple(key))
                except KeyError:
                    stale.append(id_)
        for ids in grouped_slice(stale):
            cursor.execute(*table.delete(where=reduce_ids(table.id, ids)))
        insert_values(cls, [cls._owner, 'key', 'birth_date'], (
                [id_, *key] for id_, keys in missing.items() for key in keys))
        return {id_ for id_, keys in missing.items() if keys}


class PatientKey(_KeyMixin, ModelSQL):
    "Patient Search Key"
    __name__ = 'gnuhealth.imaging_orthanc.patient_key'
    _owner = 'patient'
    _kept_patients = frozenset({'patient'})

    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", required=True, ondelete='CASCADE')

    @classmethod
    def __register__(cls, module_name):
        super().__register__(module_name)
        cls.create_missing()

    @classmethod
    def create_missing(cls):
        "Create the keys of patients that have none, or outdated ones"
        last = 0
        while ids := cls._without_keys(last):
            cls.refresh(ids)
            last = ids[-1]

    @classmethod
    def _without_keys(cls, last):
        patient = Pool().get('gnuhealth.patient').__table__()
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*patient.join(
                table, 'LEFT', condition=(table.patient == patient.id)
                & (table.key == MARK)).select(
                patient.id,
                where=(table.id == Null) & (patient.id > last),
                order_by=patient.id, limit=_BATCH))
        return [id_ for id_, in cursor]

    @classmethod
    @without_check_access
    def refresh(cls, ids):
        """Refresh the keys of patients from their names and birth dates.

        Inactive patients only have `MARK`: they are found by their PUID, but
        not by name.

        Parameters
        ----------
        ids : iterable of int

        Returns
        -------
        set of int
            The patients that got a new key.
        """
        attributes = patient_attributes(ids, active=True)
        return cls.replace_keys({
                id_: _patient_keys(attributes[id_]) if id_ in attributes
                else {(MARK, None)} for id_ in ids})

    # Searching

    @classmethod
    def find_similar(cls, studies):
        """Return the patients with similar names and birth dates.

        If there are too many, those with the same birth date come first, then
        those with a similar one, then those with the most keys in common.

        Parameters
        ----------
        studies : list of StudyAttributes

        Returns
        -------
        list of set of int
            The ids of patients for each study.
        """
        in_set = [
            s for s in studies if s.birth_date] if can_search_sets() else []
        if len(in_set) < _LEAST_SET:
            return cls.find_similar_singly(studies)
        names = find_same_keys([
                (name_groups(s.patient_name), s.birth_date)
                for s in in_set], NAME_LIMIT)
        born = find_born_at(
            {s.birth_date for s in in_set}, MARK, BIRTH_DATE_LIMIT)
        others = iter(cls.find_similar_singly([
                    s for s in studies if not s.birth_date]))
        return [
            names.get((name_groups(s.patient_name), s.birth_date), set())
            | born[s.birth_date] if s.birth_date else next(others)
            for s in studies]

    @classmethod
    def find_similar_singly(cls, studies):
        """Return the same as `find_similar`, by a search for each study."""
        queries = []
        for number, study in enumerate(studies):
            for query in cls._queries(study):
                queries.append(query.select(
                        Literal(number).as_('study'), query.patient))
        found = [set() for _ in studies]
        cursor = Transaction().connection.cursor()
        for part in grouped_slice(queries):
            cursor.execute(*Union(*part, all_=True))
            for number, id_ in cursor:
                found[number].add(id_)
        return found

    @classmethod
    def _queries(cls, study):
        keys = list(name_keys(name_groups(study.patient_name)))
        if keys:
            yield cls._by_name(keys, study.birth_date)
        if study.birth_date:
            table = cls.__table__()
            yield table.select(
                table.patient,
                where=(table.key == MARK)
                & (table.birth_date == study.birth_date),
                limit=BIRTH_DATE_LIMIT)

    @classmethod
    def _by_name(cls, keys, birth_date):
        table = cls.__table__()
        where = table.key.in_(keys)
        order = [Count(table.id).desc, table.patient.asc]
        if birth_date:
            # Each branch uses a range of the index
            where = (
                where & table.birth_date.in_(
                    sorted(birth_date_variants(birth_date)))
                | where & (table.birth_date == Null))
            order.insert(0, Max(Case(
                        (table.birth_date == birth_date, 2),
                        (table.birth_date == Null, 0), else_=1)).desc)
        return table.select(
            table.patient, where=where, group_by=table.patient,
            order_by=order, limit=NAME_LIMIT)


class StudyKey(_KeyMixin, ModelSQL):
    """Study Search Key

    Unlinked and uncertain studies have keys, so that patients and orders
    that are registered later find them.  Studies with a certain link have a
    digest of the attributes that it was made from.
    """
    __name__ = 'gnuhealth.imaging_orthanc.study_key'
    _owner = 'study'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        ondelete='CASCADE')

    @classmethod
    def digests(cls, ids):
        """Return the digests of the attributes of linked studies.

        Parameters
        ----------
        ids : list of int

        Returns
        -------
        dict of str
            By the id of each study that has one.
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        found = {}
        for sub_ids in grouped_slice(ids):
            cursor.execute(*table.select(
                    table.study, table.key,
                    where=reduce_ids(table.study, sub_ids)
                    & table.key.like(f'{_DIGEST}%')))
            found.update(
                (id_, key.removeprefix(_DIGEST)) for id_, key in cursor)
        return found


def attributes_digest(attributes):
    """Return a digest of the identity and the numbers in the images.

    Parameters
    ----------
    attributes : StudyAttributes

    Returns
    -------
    str
    """
    texts = [
        attributes.study_uid, attributes.accession_number,
        attributes.patient_name, attributes.patient_id, attributes.issuer,
        *sorted(attributes.other_patient_ids), str(attributes.birth_date),
        attributes.sex]
    # Studies from before have a digest without them
    texts += sorted(
        attributes.requested_accession_numbers
        | attributes.requested_study_uids)
    return hashlib.sha256('\0'.join(texts).encode()).hexdigest()[:32]


def digest_keys(digest):
    "Return the keys that hold the digest of a study"
    return {(_DIGEST + digest, None)}


def study_keys(attributes):
    """Return the search keys of a study.

    Parameters
    ----------
    attributes : StudyAttributes

    Returns
    -------
    set of tuple
        Keys and their birth dates.
    """
    return _keys(
        attributes.birth_date, attributes.birth_date,
        name_groups(attributes.patient_name))


def _patient_keys(attributes):
    # An estimated birth date may be years off
    return _keys(
        attributes.birth_date,
        None if attributes.birth_date_estimated else attributes.birth_date,
        attributes.names)


def _keys(birth_date, narrowing, names):
    return {(MARK, birth_date)} | {
        (key, narrowing) for key in name_keys(names)}
