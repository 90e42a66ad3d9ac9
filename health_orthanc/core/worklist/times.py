# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Local times and ages in worklist items (PS3.5 §6.2: AS, DA, TM)."""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .element_values import WorklistError

__all__ = ['LocalStart', 'local_start', 'patient_age']


@dataclass(frozen=True, slots=True)
class LocalStart:
    """The local start of a step

    Attributes
    ----------
    date : str
        DA
    time : str
        TM of six digits.
    offset : str
        TimezoneOffsetFromUTC (0008,0201), as in ``'+0100'``.
    """
    date: str
    time: str
    offset: str

    @property
    def day(self) -> dt.date:
        """The date, for calculations."""
        return dt.date(
            int(self.date[:4]), int(self.date[4:6]), int(self.date[6:]))


def local_start(start: dt.datetime, zone: str | None) -> LocalStart:
    """Return the local start of a step.

    Parameters
    ----------
    start : datetime
        In UTC if it has no time zone.
    zone : str or None
        A name of the IANA database; None for UTC.

    Raises
    ------
    WorklistError
        There is no such zone.
    """
    try:
        place = ZoneInfo(zone) if zone else dt.timezone.utc
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WorklistError(('zone', 'TimezoneOffsetFromUTC')) from None
    if start.tzinfo is None:
        start = start.replace(tzinfo=dt.timezone.utc)
    local = start.astimezone(place)
    return LocalStart(
        local.strftime('%Y%m%d'), local.strftime('%H%M%S'),
        local.strftime('%z')[:5])


def patient_age(birth_date: dt.date | None, on: dt.date) -> str:
    """Return the age of a patient as AS.

    It is in days below one month, in months below two years, else in years.

    Returns
    -------
    str
        Empty if the birth date is unknown or in the future.
    """
    if birth_date is None or birth_date > on:
        return ''
    months = (
        (on.year - birth_date.year) * 12 + on.month - birth_date.month
        - (on.day < birth_date.day))
    if months < 1:
        return f'{(on - birth_date).days:03}D'
    if months < 24:
        return f'{months:03}M'
    return f'{months // 12:03}Y'
