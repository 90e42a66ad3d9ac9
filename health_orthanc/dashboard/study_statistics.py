# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of studies"""

import datetime as dt

from sql import Column, Literal, Select, Union
from sql.aggregate import Count, Sum
from sql.conditionals import Case, Coalesce

from trytond.model import fields
from trytond.pool import Pool

from .statistics import StatisticsMixin, days_ago, readable

__all__ = ['StudyAge', 'StudyDay']

STUDY = 'gnuhealth.imaging_orthanc.study'
# Days that are told apart in a picture
_DAYS = 14
# Each has a line; a study counts as the first that it has
_MODALITIES = {
    'ct': ['CT'],
    'mr': ['MR'],
    'us': ['US'],
    'mg': ['MG'],
    'xray': ['CR', 'DX', 'RF', 'XA'],
    }
_AGES = [
    ('day', "Last 24 Hours", 1),
    ('week', "Last 7 Days", 7),
    ('month', "Last 30 Days", 30),
    ('older', "Older", None),
    ]


def _has_modality(column, codes):
    "Return the condition that one of the codes is in a list of modalities"
    condition = Literal(False)
    for code in codes:
        condition |= column.like(f'%{code}%')
    return condition


def _days(last, count):
    """Return a query of the days up to one, with a number as id.

    So that a picture shows those on which there was nothing, too.
    """
    return Union(*(
            Select([
                    Literal(date.toordinal()).as_('number'),
                    Literal(date).as_('date')])
            for date in (
                last - dt.timedelta(days=days) for days in range(count))),
        all_=True)


class StudyDay(StatisticsMixin):
    "Studies by Day"
    __name__ = 'gnuhealth.imaging_orthanc.statistics.study_day'
    _counted_models = (STUDY,)

    date = fields.Date("Date")
    ct = fields.Integer("CT")
    mr = fields.Integer("MR")
    us = fields.Integer("US")
    mg = fields.Integer("MG")
    xray = fields.Integer("X-ray")
    other = fields.Integer("Other")
    total = fields.Integer("Total")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('date', 'ASC')]

    @classmethod
    def table_query(cls):
        today = Pool().get('ir.date').today()
        days = _days(today, _DAYS)
        names = [*_MODALITIES, 'other', 'total']
        counts = cls._counts(today)
        join = days.join(counts, 'LEFT', counts.date == days.date)
        query = join.select()
        query.columns = cls._columns(
            id=days.number, date=days.date, **{
                name: Coalesce(Column(counts, name), 0) for name in names})
        return query

    @classmethod
    def _counts(cls, today):
        "Return the query of what the days with studies have"
        query, study = readable(Pool().get(STUDY), [
                ('date', '>', today - dt.timedelta(days=_DAYS)),
                ('date', '<=', today),
                ('missing_since', '=', None),
                ], ['modalities'])
        kind = Case(*(
                (_has_modality(study.modalities, codes), name)
                for name, codes in _MODALITIES.items()), else_='other')
        query.columns = [
            study.date.as_('date'), Count(study.id).as_('total'), *(
                Sum(Case((kind == name, 1), else_=0)).as_(name)
                for name in [*_MODALITIES, 'other'])]
        query.group_by = [study.date]
        return query


class StudyAge(StatisticsMixin):
    "Studies Without a Confirmed Patient by Age"
    __name__ = 'gnuhealth.imaging_orthanc.statistics.study_age'
    _counted_models = (STUDY,)

    age = fields.Selection(
        [(name, label) for name, label, _ in _AGES], "Age", sort=False,
        help="The time since the study was imported.")
    # Graphs show no labels of selections
    age_label = fields.Function(
        fields.Char("Age"), 'get_age_label')
    age_string = age.translated('age')
    unlinked = fields.Integer("Unlinked")
    to_review = fields.Integer("To Review")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('id', 'ASC')]

    def get_age_label(self, name):
        return self.age_string

    @classmethod
    def table_query(cls):
        # As the queues of the review
        query, study = readable(Pool().get(STUDY), [
                ('link_status', 'in', ['auto_unsure', 'unlinked']),
                ('historical', '=', False),
                ('missing_since', '=', None),
                ])
        created = Coalesce(study.create_date, days_ago(_AGES[0][2]))
        number = Case(*(
                (created >= days_ago(days), number)
                for number, (_, _, days) in enumerate(_AGES) if days),
            else_=len(_AGES) - 1)
        name = Case(*(
                (created >= days_ago(days), name)
                for name, _, days in _AGES if days), else_=_AGES[-1][0])
        query.columns = cls._columns(
            id=number, age=name,
            unlinked=Sum(Case((study.link_status == 'unlinked', 1), else_=0)),
            to_review=Sum(
                Case((study.link_status == 'auto_unsure', 1), else_=0)))
        query.group_by = [number, name]
        return query
