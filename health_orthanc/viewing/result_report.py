# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The studies that the print of a result lists"""

from collections import defaultdict
from dataclasses import dataclass

from trytond.pool import Pool, PoolMeta
from trytond.transaction import check_access, without_check_access

from .rights import find_readable

__all__ = ['ImagingResultReport']

RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'


@dataclass
class _Line:
    "What is printed of a study"
    date: str
    modalities: str
    description: str
    images: str


class ImagingResultReport(metaclass=PoolMeta):
    __name__ = 'patient.imaging_report_results'

    @classmethod
    def get_context(cls, records, header, data):
        context = super().get_context(records, header, data)
        context['studies'] = _describe_studies([r.id for r in records])
        return context


def _describe_studies(results):
    "Return what is printed of the studies, by the ids of results"
    lang = Pool().get('ir.lang').get()
    found = defaultdict(list)
    for result, studies in _find_studies(results).items():
        for study in studies:
            date = lang.strftime(study.date) if study.date else ''
            time = f'{study.study_time:%H:%M}' if study.study_time else ''
            found[result].append(_Line(
                    date=' '.join(filter(None, [date, time])),
                    modalities=study.modalities or '',
                    description=study.study_description or '',
                    images=lang.format(
                        '%d', study.instances_count or 0, grouping=True)))
    return found


@without_check_access
def _find_studies(results):
    "Return the studies that the user may see, by the ids of results"
    pool = Pool()
    Result, Study = pool.get(RESULT), pool.get(STUDY)
    with check_access():
        if not (pool.get('ir.model.access').check(
                    STUDY, 'read', raise_exception=False)
                and pool.get('ir.model.field.access').check(
                    RESULT, ['orthanc_studies'], 'read',
                    raise_exception=False)):
            return {}
        shown = {
            v['id']: v['orthanc_studies']
            for v in Result.read(results, ['orthanc_studies'])}
    studies = Study.browse(list(set().union(*shown.values())))
    # They may belong to somebody else
    doubtful = Study.find_withheld(studies)
    studies = {
        s.id: s for s in find_readable(studies) - doubtful
        if not s.quarantined and not s.missing_since}
    return {
        result: sorted(
            (studies[id_] for id_ in ids if id_ in studies),
            key=lambda s: (str(s.date or ''), str(s.study_time or ''), s.id))
        for result, ids in shown.items()}
