# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""By what patients and studies are found that are of one person.

Names that are alike share a key; see `core.search`.
"""

from sql import Literal, Null, Union
from sql.aggregate import Count, Max
from sql.conditionals import Case

from trytond.model import Index, ModelSQL, fields
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from ..common.rows import insert_rows
from ..core.matching.names import name_groups
from ..core.matching.search_keys import birth_date_variants, name_keys
from .attributes import patient_attributes

__all__ = [
    'MARK', 'PatientKey', 'StudyKey', 'digest_keys', 'study_keys']

# What all have whose keys were made, with the birth date alone. Another
# number has all keys made anew.
MARK = '#1'
_DIGEST = '='
# How many patients are found by name, and by the birth date alone
NAME_LIMIT = 100
BIRTH_DATE_LIMIT = 200
# How many patients get their keys at once
_BATCH = 1000


class _KeyMixin:
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
        # Nobody has to do with it from outside
        cls.__rpc__.clear()

    @classmethod
    def keep(cls, wanted):
        """Bring the keys to what they have to be.

        Parameters
        ----------
        wanted : dict
            Sets of keys with their birth dates, by the id of the owner.

        Returns
        -------
        set of int
            The owners that have a new key.
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
        insert_rows(cls, [
                {cls._owner: id_, 'key': key, 'birth_date': birth_date}
                for id_, keys in missing.items() for key, birth_date in keys])
        return {id_ for id_, keys in missing.items() if keys}


class PatientKey(_KeyMixin, ModelSQL):
    "Patient Search Key"
    __name__ = 'gnuhealth.imaging_orthanc.patient_key'
    _owner = 'patient'

    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", required=True, ondelete='CASCADE')

    @classmethod
    def __register__(cls, module_name):
        super().__register__(module_name)
        cls.complete()

    @classmethod
    def complete(cls):
        "Make the keys of patients that have none yet, or outdated ones"
        last = 0
        while ids := cls._unmarked(last):
            cls.refresh(ids)
            last = ids[-1]

    @classmethod
    def _unmarked(cls, last):
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
        """Bring the keys of patients in step with what they are called.

        Those that are not active have only the mark: they are found by their
        PUID, but never for their name.

        Returns
        -------
        set of int
            The patients that have a new key.
        """
        facts = patient_attributes(ids, active=True)
        return cls.keep({
                id_: _patient_keys(facts[id_]) if id_ in facts
                else {(MARK, None)} for id_ in ids})

    # Searching

    @classmethod
    def alike(cls, studies):
        """Return the patients that studies may be of by name and birth date.

        Of many with the name, those are preferred whose birth date is the
        same, or known at all, then those with the most keys in common.

        Parameters
        ----------
        studies : list of StudyAttributes

        Returns
        -------
        list of set of int
            The ids of patients for each study.
        """
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
            # Each part of it is a range of the index
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

    Studies that wait for a patient or an order have some: whoever is
    registered or ordered for afterwards finds them.  Those that are linked
    for certain have a digest of what the images said then.
    """
    __name__ = 'gnuhealth.imaging_orthanc.study_key'
    _owner = 'study'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        ondelete='CASCADE')

    @classmethod
    def digests(cls, ids):
        "Return what the images of studies said, by the ids of the studies"
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


def digest_keys(digest):
    return {(_DIGEST + digest, None)}


def study_keys(facts):
    "Return the keys of a study, with its birth date"
    return _keys(
        facts.birth_date, facts.birth_date, name_groups(facts.patient_name))


def _patient_keys(facts):
    # Who knows only the age may be years off
    return _keys(
        facts.birth_date,
        None if facts.birth_date_estimated else facts.birth_date, facts.names)


def _keys(birth_date, narrowing, names):
    return {(MARK, birth_date)} | {
        (key, narrowing) for key in name_keys(names)}
