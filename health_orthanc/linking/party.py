# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people are called and known by: changes are told to the search."""

from sql import Null

from trytond.model import Index
from trytond.pool import Pool, PoolMeta
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

__all__ = ['AlternativeID', 'Party', 'PersonName']


def _patients_of(parties):
    "Return the ids of the patients that parties are"
    patient = Pool().get('gnuhealth.patient').__table__()
    cursor = Transaction().connection.cursor()
    found = []
    for ids in grouped_slice(list(parties)):
        cursor.execute(*patient.select(
                patient.id, where=patient.party.in_(list(ids))))
        found.extend(id_ for id_, in cursor)
    return found


def _refresh(parties):
    Patient = Pool().get('gnuhealth.patient')
    ids = _patients_of(set(parties) - {None})
    if ids:
        Patient.identity_changed(ids)


class Party(metaclass=PoolMeta):
    __name__ = 'party.party'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        # By the PUID of a duplicate the person is found that replaces it
        cls._sql_indexes.add(Index(
                table, (table.replaced_by, Index.Equality()),
                where=table.replaced_by != Null))

    @classmethod
    def write(cls, *args):
        super().write(*args)
        _refresh(
            party.id for parties, values in zip(args[::2], args[1::2])
            if values.keys() & {
                'name', 'lastname', 'dob', 'est_dob', 'ref', 'gender',
                'active', 'replaced_by'}
            for party in parties)


class _OfPartyMixin:
    "A record that says something of the person that it belongs to"
    __slots__ = ()

    @classmethod
    def create(cls, vlist):
        records = super().create(vlist)
        _refresh(cls._parties(records))
        return records

    @classmethod
    def write(cls, *args):
        records = [record for some in args[::2] for record in some]
        before = cls._parties(records)
        super().write(*args)
        _refresh(before | cls._parties(records))

    @classmethod
    def delete(cls, records):
        parties = cls._parties(records)
        super().delete(records)
        _refresh(parties)

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


class PersonName(_OfPartyMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.person_name'


class AlternativeID(_OfPartyMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.person_alternative_identification'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(table, (table.code, Index.Equality())))
