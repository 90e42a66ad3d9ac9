# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's institution, and time zones"""

import datetime as dt

from sql import Null

from trytond.pool import Pool, PoolMeta
from trytond.tools import timezone as tz
from trytond.transaction import Transaction, without_check_access

from ..common.transaction import now

__all__ = ['Institution']


class Institution(metaclass=PoolMeta):
    __name__ = 'gnuhealth.institution'

    @classmethod
    @without_check_access
    def of_user(cls):
        """Return the institution where the user works.

        Returns
        -------
        int or None
            The id of the institution of the user's company, otherwise of the
            only institution.
        """
        Company = Pool().get('company.company')
        company = Transaction().context.get('company')
        if company:
            found = cls.search([
                    ('party', '=', Company(company).party.id)], limit=1)
            if found:
                return found[0].id
        found = cls.search([], limit=2)
        return found[0].id if len(found) == 1 else None

    @classmethod
    @without_check_access
    def zones(cls, institutions):
        """Return the time zones of institutions.

        GNU Health stores the time zone of companies only.  An institution
        without a company, and None, get the zone that all companies share, or
        UTC.

        Parameters
        ----------
        institutions : iterable of int

        Returns
        -------
        dict of str
            IANA names by the id of each institution, and by None.
        """
        company = Pool().get('company.company').__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*company.select(
                company.party, company.timezone,
                where=company.timezone != Null))
        by_party = dict(cursor)
        zones = set(by_party.values())
        common = zones.pop() if len(zones) == 1 else 'UTC'
        return {None: common} | {
            i.id: by_party.get(i.party.id, common)
            for i in cls.browse(institutions)}

    @classmethod
    @without_check_access
    def zone_of_user(cls):
        "Return the IANA time zone of the user's company or institution"
        Company = Pool().get('company.company')
        company = Transaction().context.get('company')
        if company and Company(company).timezone:
            return Company(company).timezone
        id_ = cls.of_user()
        return cls.zones([id_] if id_ else [])[id_]

    @classmethod
    def local_today(cls):
        """Return start and end of today, where the user works.

        A night shift works on both sides of midnight: after the end of the
        working hours today lasts until they begin again, and before they
        begin it includes the night that has passed.

        Returns
        -------
        tuple of datetime
            In the user's time zone, without it.
        """
        Configuration = Pool().get('gnuhealth.imaging.worklist.configuration')
        hours = Configuration.working_hours()
        zone = tz.get_tzinfo(cls.zone_of_user())
        local = now().replace(tzinfo=tz.UTC).astimezone(zone)
        day, one = local.date(), dt.timedelta(days=1)
        start = dt.datetime.combine(day, dt.time())
        end = start + one
        if local.time() < hours['day_start']:
            start = dt.datetime.combine(day - one, hours['day_end'])
        if local.time() >= hours['day_end']:
            end = dt.datetime.combine(day + one, hours['day_start'])
        return start, end

    @classmethod
    def today(cls):
        """Return start and end of today as `local_today` does, in UTC.

        Returns
        -------
        tuple of datetime
        """
        zone = tz.get_tzinfo(cls.zone_of_user())
        return tuple(
            time.replace(tzinfo=zone).astimezone(tz.UTC).replace(tzinfo=None)
            for time in cls.local_today())
