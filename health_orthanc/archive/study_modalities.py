# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modalities of studies, as their present series have them"""

from collections import defaultdict

from sql import Null

from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids

from ..common.rows import fetch_rows, write_column

__all__ = ['join_modalities', 'update_modalities']


def join_modalities(series):
    """Return the modalities of a study as they are stored.

    Parameters
    ----------
    series : iterable
        Records or rows, those that are missing included.

    Returns
    -------
    str or None
    """
    return _join(
        s.modality for s in series if s.modality and not s.missing_since)


def _join(modalities):
    return ', '.join(sorted(set(modalities))) or None


def update_modalities(study_ids):
    """Write the modalities of studies from their present series.

    Parameters
    ----------
    study_ids : iterable of int
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    study = Study.__table__()
    series = pool.get('gnuhealth.imaging_orthanc.study_series').__table__()
    by_text = defaultdict(list)
    for sub_ids in grouped_slice(list(study_ids)):
        ids = list(sub_ids)
        modalities = defaultdict(list)
        for id_, modality in fetch_rows(series.select(
                    series.study, series.modality,
                    where=reduce_ids(series.study, ids)
                    & (series.missing_since == Null)
                    & (series.modality != Null),
                    group_by=[series.study, series.modality])):
            modalities[id_].append(modality)
        for id_, stored in fetch_rows(study.select(
                    study.id, study.modalities,
                    where=reduce_ids(study.id, ids))):
            text = _join(modalities[id_])
            if stored != text:
                by_text[text].append(id_)
    write_column(Study, 'modalities', by_text)
