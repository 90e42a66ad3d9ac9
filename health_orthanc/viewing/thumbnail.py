# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thumbnails of series, for lists

They are made after a study has become stable, and kept in a table.  Lists read
this table and never use the network.  The thumbnails may be deleted at any
time: they are made again.
"""

import logging

from sql import Literal, Null
from sql.conditionals import Coalesce

from trytond.model import Index, ModelSQL, Unique, fields
from trytond.pool import Pool, PoolMeta
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import without_check_access

from ..common.diagnostics import log_unexpected
from ..common.rows import fetch_rows
from ..common.transaction import in_transaction, now
from ..core.orthanc.errors import OrthancError
from ..core.orthanc.images import WITHOUT_IMAGES, series_thumbnails
from .rights import find_readable

__all__ = [
    'Series', 'Study', 'Synchronization', 'Thumbnail', 'make_thumbnails']

logger = logging.getLogger('trytond.modules.health_orthanc.thumbnail')

# Studies that get thumbnails in one run, and series of each
LIMIT = 100
SERIES_LIMIT = 12


class Thumbnail(ModelSQL):
    "Thumbnail"
    __name__ = 'gnuhealth.imaging_orthanc.thumbnail'

    series = fields.Many2One(
        'gnuhealth.imaging_orthanc.study_series', "Series", required=True,
        ondelete='CASCADE')
    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        ondelete='CASCADE')
    position = fields.Integer(
        "Position", required=True,
        help="Among the series of the study; the first one stands for it.")
    image = fields.Binary("Image", required=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append(
            ('series_unique', Unique(table, table.series),
                'health_orthanc.msg_thumbnail_series_unique'))
        cls._sql_indexes.add(Index(table, (table.study, Index.Equality())))
        # Clients read the fields of series and studies
        cls.__rpc__.clear()

    @classmethod
    def delete(cls, thumbnails):
        studies = {t.study for t in thumbnails}
        super().delete(thumbnails)
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        Study.write(list(studies), {'thumbnails_at': None})

    @classmethod
    def read_images(cls, column, ids, first=False):
        """Return thumbnails by the id of their series or study.

        Parameters
        ----------
        column : {'series', 'study'}
        ids : iterable of int
        first : bool
            Only those of the first series.

        Returns
        -------
        dict of bytes
        """
        table = cls.__table__()
        found = {}
        for sub_ids in grouped_slice(list(ids)):
            where = reduce_ids(getattr(table, column), sub_ids)
            if first:
                where &= table.position == 0
            found.update(fetch_rows(table.select(
                        getattr(table, column), table.image, where=where)))
        return {id_: fields.Binary.cast(image) for id_, image in found.items()}


def _released(studies):
    "Return the ids of the studies whose images the current user sees"
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    withheld = Study.find_withheld(studies)
    return {
        s.id for s in find_readable(studies)
        if s not in withheld and not s.quarantined and not s.missing_since}


class Study(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study'

    picture = fields.Function(fields.Binary("Picture"), 'get_picture')
    thumbnails_at = fields.DateTime(
        "Thumbnails Made", readonly=True,
        help="Empty while they have to be made.")
    thumbnails_tried_at = fields.DateTime(
        "Last Thumbnail Attempt", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        # Not by equality: a hash of few different values has long chains
        cls._sql_indexes.add(Index(
                table, (table.server, Index.Range()),
                where=table.thumbnails_at == Null))

    @classmethod
    def get_picture(cls, studies, name):
        Thumbnail = Pool().get('gnuhealth.imaging_orthanc.thumbnail')
        found = Thumbnail.read_images('study', _released(studies), first=True)
        return {s.id: found.get(s.id) for s in studies}

    @classmethod
    def write(cls, *args):
        # Images have been added or deleted
        args = [
            {'thumbnails_at': None, **part}
            if index % 2 and 'last_update' in part else part
            for index, part in enumerate(args)]
        super().write(*args)


class Series(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study_series'

    picture = fields.Function(fields.Binary("Picture"), 'get_picture')

    @classmethod
    def get_picture(cls, series, name):
        Thumbnail = Pool().get('gnuhealth.imaging_orthanc.thumbnail')
        released = _released(list({s.study for s in series}))
        found = Thumbnail.read_images('series', [
                s.id for s in series
                if s.study.id in released and not s.missing_since])
        return {s.id: found.get(s.id) for s in series}


def make_thumbnails(server_id, client, limit=LIMIT):
    """Make the thumbnails of stable studies without them, the newest first.

    Failures are tried again in the next run, after all others.

    Parameters
    ----------
    server_id : int
    client : OrthancClient
    limit : int, optional
        The most studies.
    """
    for id_ in in_transaction(_without_thumbnails, server_id, limit):
        try:
            series = in_transaction(_series_with_images, id_)
            images = series_thumbnails(client, list(series)) if series else {}
            in_transaction(_store, id_, series, images)
        except OrthancError as error:
            logger.warning("Study %s: no thumbnails: %s", id_, error.kind)
            in_transaction(_write, id_, {'thumbnails_tried_at': now()})
            if error.transient:
                break
        except Exception as error:
            # An error in one study must not block the others
            log_unexpected(logger, error, "Study %s: no thumbnails", id_)
            in_transaction(_write, id_, {'thumbnails_tried_at': now()})


def _without_thumbnails(server_id, limit):
    """Return the ids of the studies that need thumbnails.

    Those that the server held already get them once they are linked.
    """
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    new = Coalesce(study.historical, False) == Literal(False)
    return [id_ for id_, in fetch_rows(study.select(
                study.id, where=(study.server == server_id)
                & (study.thumbnails_at == Null)
                & (study.stable == Literal(True))
                & (study.missing_since == Null)
                & (new | (study.patient != Null)),
                order_by=[
                    study.thumbnails_tried_at.asc.nulls_first,
                    study.date.desc.nulls_last, study.id.desc],
                limit=limit))]


def _series_with_images(id_):
    "Return the ids of the series that may have images, by their Orthanc ids"
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    series = [
        s for s in Series.search([
                ('study', '=', id_), ('missing_since', '=', None)],
            order=[('series_number', 'ASC'), ('id', 'ASC')])
        if s.instances_count and s.modality not in WITHOUT_IMAGES]
    return {s.orthanc_UID: s.id for s in series[:SERIES_LIMIT]}


def _store(id_, series, images):
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    Thumbnail = pool.get('gnuhealth.imaging_orthanc.thumbnail')
    Study.lock([Study(id_)])
    # Some may have been deleted while the images were fetched
    kept = {s.id for s in Series.search([('id', 'in', list(series.values()))])}
    Thumbnail.delete(Thumbnail.search([('study', '=', id_)]))
    found = [
        (series_id, images[orthanc_id])
        for orthanc_id, series_id in series.items()
        if orthanc_id in images and series_id in kept]
    Thumbnail.create([{
                'study': id_,
                'series': series_id,
                'position': position,
                'image': image,
                } for position, (series_id, image) in enumerate(found)])
    _write(id_, {'thumbnails_at': now(), 'thumbnails_tried_at': None})


def _write(id_, values):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    Study.write([Study(id_)], values)


class Synchronization(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.synchronization'

    @classmethod
    def follow_up(cls, server_id, client, limit=None):
        super().follow_up(server_id, client, limit)
        with without_check_access():
            make_thumbnails(server_id, client, limit or LIMIT)
