# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of identity: search keys, and replaced patients"""

from sql import Null

from trytond.model import Index
from trytond.pool import Pool, PoolMeta
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from ..common.indexes import TextSearchMixin

__all__ = ['AlternativeID', 'Party', 'PersonName']


def _patients_of(parties):
    "Return the ids of the patients of parties"
    patient = Pool().get('gnuhealth.patient').__table__()
    cursor = Transaction().connection.cursor()
    found = []
    for ids in grouped_slice(list(parties)):
        cursor.execute(*patient.select(
                patient.id, where=patient.party.in_(list(ids))))
        found.extend(id_ for id_, in cursor)
    return found


def _refresh_patients(parties):
    Patient = Pool().get('gnuhealth.patient')
    ids = _patients_of(set(parties) - {None})
    if ids:
        Patient.refresh_identity(ids)


class Party(TextSearchMixin, metaclass=PoolMeta):
    __name__ = 'party.party'
    _searched_columns = frozenset({
            'federation_account', 'lastname', 'name', 'ref'})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        # Studies with the PUID of a merged duplicate find the remaining party
        cls._sql_indexes.add(Index(
                table, (table.replaced_by, Index.Equality()),
                where=table.replaced_by != Null))

    @classmethod
    def write(cls, *args):
        super().write(*args)
        replaced = {
            party.id for parties, values in zip(args[::2], args[1::2])
            if values.get('replaced_by') for party in parties}
        if replaced:
            Replacement = Pool().get('gnuhealth.imaging_orthanc.replacement')
            Replacement.follow(replaced)
        _refresh_patients(
            party.id for parties, values in zip(args[::2], args[1::2])
            if values.keys() & {
                'name', 'lastname', 'dob', 'est_dob', 'ref', 'gender',
                'active', 'replaced_by'}
            for party in parties)


class _PartyDetailMixin:
    "A record that is part of the identity of a party"
    __slots__ = ()

    @classmethod
    def create(cls, vlist):
        records = super().create(vlist)
        _refresh_patients(cls._parties(records))
        return records

    @classmethod
    def write(cls, *args):
        records = [record for some in args[::2] for record in some]
        before = cls._parties(records)
        super().write(*args)
        _refresh_patients(before | cls._parties(records))

    @classmethod
    def delete(cls, records):
        parties = cls._parties(records)
        super().delete(records)
        _refresh_patients(parties)

    @classmethod
    def _parties(cls, records):
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        parties = set()
        for ids in grouped_slice([r.id for r in records]):
            cursor.execute(*table.select(
                    table.party, where=table.id.in_(list(ids))))
            parties.update(id_ for id_, in cursor)
        return parties


class PersonName(_PartyDetailMixin, TextSearchMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.person_name'
    _searched_columns = frozenset({'family', 'given'})


class AlternativeID(_PartyDetailMixin, TextSearchMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.person_alternative_identification'
    _searched_columns = frozenset({'code'})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(table, (table.code, Index.Equality())))
