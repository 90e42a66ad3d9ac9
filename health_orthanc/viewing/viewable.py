# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What *View* opens: the studies of a record in the viewer

The button is there if the viewer is installed and there are images that may be
shown.  The wizard behind it checks all of this again.
"""

from sql import Null
from sql.aggregate import Sum

from trytond.model import ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import without_check_access

from ..common.access import HiddenButtonsMixin
from ..common.rows import fetch_rows
from ..core.orthanc.images import WITHOUT_IMAGES
from .ohif import is_installed
from .rights import find_viewable

__all__ = [
    'Patient', 'ProcedureStep', 'Series', 'Study', 'TestResult',
    'ViewableMixin', 'choose_studies', 'find_first_series',
    'find_with_images']

WIZARD = 'health_orthanc.wizard_view_images'
# Studies that are opened at once; the viewer lists the others of the patient
LIMIT = 10


@without_check_access
def choose_studies(studies):
    """Return those of the studies that are opened at once, the newest first.

    They are all on one server, that of the newest study.

    Parameters
    ----------
    studies : list of Study

    Returns
    -------
    list of Study
    """
    found = find_with_images([s.id for s in studies])
    shown = sorted(
        (s for s in studies if s.id in found and s.study_instance_UID
            and s.server.active),
        key=lambda s: (
            s.date is not None, s.date, s.study_time is not None,
            s.study_time, s.id),
        reverse=True)
    shown = [s for s in shown if s.server == shown[0].server]
    if not shown:
        return []
    # One that may not be seen does not keep the others away. Those that have
    # to be confirmed are asked for when they are opened.
    withheld = Pool().get('gnuhealth.imaging_orthanc.study').find_withheld(
        shown)
    viewable = find_viewable(
        shown[0].server, {s.study_instance_UID for s in shown})
    return (
        [s for s in shown if s.study_instance_UID in viewable
            or s in withheld] or shown)[:LIMIT]


def find_with_images(ids):
    """Return which studies have images that may be shown.

    Parameters
    ----------
    ids : iterable of int

    Returns
    -------
    set of int
    """
    pool = Pool()
    study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
    series = pool.get('gnuhealth.imaging_orthanc.study_series').__table__()
    found = set()
    for sub_ids in grouped_slice(list(ids)):
        found.update(id_ for id_, in fetch_rows(study.join(
                    series, condition=series.study == study.id).select(
                    study.id, where=reduce_ids(study.id, sub_ids)
                    & (study.missing_since == Null)
                    & (study.quarantined_at == Null)
                    & (series.missing_since == Null),
                    group_by=study.id,
                    having=Sum(series.instances_count) > 0)))
    return found


@without_check_access
def find_first_series(study):
    """Return the series of a study that stands for it.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Series or None
        The first one with images.
    """
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    found = Series.search([
            ('study', '=', study.id),
            ('missing_since', '=', None),
            ('instances_count', '>', 0),
            ['OR',
                ('modality', '=', None),
                ('modality', 'not in', list(WITHOUT_IMAGES)),
                ],
            ], order=[('series_number', 'ASC'), ('id', 'ASC')], limit=1)
    return found[0] if found else None


def _hide_unless(field):
    return {'invisible': ~Eval(field, False), 'depends': [field]}


class ViewableMixin:
    "A record whose images the viewer opens"
    __slots__ = ()

    @classmethod
    def _with_images(cls, records):
        "Return of each record whether it has images that may be shown"
        studies = {
            r.id: {s.id for s in r.studies_to_view()} for r in records
            } if is_installed() else {}
        found = find_with_images(set().union(*studies.values()))
        return {
            r.id: not found.isdisjoint(studies.get(r.id, ()))
            for r in records}

    def studies_to_view(self):
        """Return the studies that the viewer opens.

        Returns
        -------
        list of Study
        """
        raise NotImplementedError

    def series_to_view(self, studies):
        """Return the series that the viewer shows first.

        Parameters
        ----------
        studies : list of Study
            Those that are opened.

        Returns
        -------
        Series or None
            None if the viewer is to choose. Of several studies it would show
            the one whose answer comes first, not the newest.
        """
        return find_first_series(studies[0]) if len(studies) > 1 else None


class _ViewMixin(ViewableMixin):
    "A record of this module with images"
    __slots__ = ()

    can_view_images = fields.Function(
        fields.Boolean("Images to View"), 'get_can_view_images')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['view_images'] = _hide_unless('can_view_images')

    @classmethod
    def get_can_view_images(cls, records, name):
        return cls._with_images(records)

    @classmethod
    @ModelView.button_action(WIZARD)
    def view_images(cls, records):
        "Open the images of a record in the viewer"
        pass


class Study(_ViewMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study'

    def studies_to_view(self):
        "Return the study"
        return [self]


class Series(_ViewMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study_series'

    @classmethod
    def get_can_view_images(cls, series, name):
        found = super().get_can_view_images(series, name)
        return {
            s.id: bool(
                found[s.id] and s.instances_count and not s.missing_since)
            for s in series}

    def studies_to_view(self):
        "Return the study of the series"
        return [self.study]

    def series_to_view(self, studies):
        "Return the series itself"
        return self


class ProcedureStep(_ViewMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.procedure.step'

    @classmethod
    @without_check_access
    def get_can_view_images(cls, steps, name):
        # Not all who see steps may read studies
        return super().get_can_view_images(cls.browse(steps), name)

    def studies_to_view(self):
        "Return the study that completed the step"
        return [self.study] if self.study else []


class _StudiesMixin(ViewableMixin, HiddenButtonsMixin):
    "A record of GNU Health with studies"
    __slots__ = ()
    _hidden_buttons = frozenset({'orthanc_view_images'})
    _hidden_fields = frozenset({'orthanc_can_view_images'})

    orthanc_can_view_images = fields.Function(
        fields.Boolean("Images to View"), 'get_orthanc_can_view_images')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['orthanc_view_images'] = _hide_unless(
            'orthanc_can_view_images')

    @classmethod
    def get_orthanc_can_view_images(cls, records, name):
        return cls._with_images(records)

    @classmethod
    @ModelView.button_action(WIZARD)
    def orthanc_view_images(cls, records):
        "Open the images of a record in the viewer"
        pass

    def studies_to_view(self):
        """Return the studies of the record.

        Those that may belong to somebody else than a patient are opened one
        by one.
        """
        return list(self.orthanc_studies)


class TestResult(_StudiesMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.result'


class Patient(_StudiesMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient'
