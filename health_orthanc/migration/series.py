# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merge of duplicate series and instances of 5.0"""

from sql import Literal
from sql.aggregate import Count

from trytond.pool import Pool

from ..common.registration import around_registration
from .tables import Duplicates, add_note, count_rows, execute, is_older

__all__ = ['convert_instances', 'prepare_instances', 'prepare_series']


def prepare_series(Series, module_name):
    "Merge duplicate series: 5.0 had no constraint against them"
    if is_older(Series, module_name, 'missing_since'):
        duplicates = Duplicates(Series, 'study')
        add_note('series', count_rows(Series.__table__()))
        add_note('series_doubles', duplicates.count())
        duplicates.merge_texts('notes')
        duplicates.fill_values()
        duplicates.move_children(
            'gnuhealth_imaging_orthanc_series_instances', 'series')
        duplicates.delete()


def prepare_instances(Instance, module_name):
    """Merge duplicate instances: 5.0 had no constraint against them.

    Returns
    -------
    bool
        Whether `convert_instances` must be called.
    """
    if not is_older(Instance, module_name, 'missing_since'):
        return False
    duplicates = Duplicates(Instance, 'series')
    add_note('instances', count_rows(Instance.__table__()))
    add_note('instances_doubles', duplicates.count())
    duplicates.fill_values()
    duplicates.delete()
    return True


def convert_instances(Instance):
    "Write the numbers of instances of all series"
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    table, series = Instance.__table__(), Series.__table__()
    execute(series.update(
            [series.instances_count], [table.select(
                    Count(Literal('*')), where=table.series == series.id)]))


@around_registration('gnuhealth.imaging_orthanc.study_series')
def _adapt_series(Series, module_name):
    # Migration from 5.0
    prepare_series(Series, module_name)
    yield


@around_registration('gnuhealth.imaging_orthanc.series_instances')
def _adapt_instances(Instance, module_name):
    # Migration from 5.0
    old = prepare_instances(Instance, module_name)
    yield
    if old:
        convert_instances(Instance)
