# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attachment of images to results and patients

Users attach images to results.  If a server is set so, the first image of each
study is attached too: its key image.  The network is only used outside of
transactions.
"""

import logging

from sql import Literal, Null
from sql.operators import Exists

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import Transaction, without_check_access

from ..archive.audited import study_events
from ..audit.trail import record_events
from ..common.diagnostics import log_unexpected
from ..common.exceptions import AttachmentError, orthanc_errors
from ..common.rows import fetch_rows, read_columns
from ..common.transaction import in_transaction, now
from ..core.orthanc.errors import NoImage, OrthancError
from ..core.orthanc.images import WITHOUT_IMAGES, first_image, limited_image
from ..linking.history import CONFIRMED

__all__ = [
    'Instance', 'Synchronization', 'attach_key_images', 'attach_to_results']

logger = logging.getLogger('trytond.modules.health_orthanc.attachment')

# Each image is fetched while a user waits
LIMIT = 20
ATTACHED_SIZE = 2048  # pixels
# Studies that get their key image in one run
KEY_IMAGES_LIMIT = 100


@without_check_access
def attach_to_results(instances):
    """Attach images to the results of their studies, all or none.

    A study of several orders has a result for each.

    The caller checks the access to the instances.

    Parameters
    ----------
    instances : list of Instance

    Raises
    ------
    AttachmentError
        There are too many, or a study has no result.
    QuarantineError
    OrthancError, SecretUnavailable
    """
    if len(instances) > LIMIT:
        raise AttachmentError(gettext(
                'health_orthanc.msg_attachment_many', limit=LIMIT))
    for instance in instances:
        instance.check_released()
    wanted = [(i, result) for i in instances for result in _results(i)]
    images = {i.id: _fetch(i) for i in instances}
    in_transaction(
        _attach_images, Transaction().user,
        [(i.id, result.id, images[i.id]) for i, result in wanted])


def _results(instance):
    results = instance.series.study.linked_results
    if not results:
        raise AttachmentError(
            gettext('health_orthanc.msg_attachment_no_result'))
    return results


def _fetch(instance):
    try:
        with instance.server.get_client(interactive=True) as client:
            return limited_image(client, instance.orthanc_UID, ATTACHED_SIZE)
    except NoImage:
        raise AttachmentError(gettext(
                'health_orthanc.msg_attachment_no_image',
                number=_shown(instance.instance_number))) from None


def _attach_images(user, images):
    pool = Pool()
    Instance = pool.get('gnuhealth.imaging_orthanc.series_instances')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Result = pool.get('gnuhealth.imaging.test.result')
    instances = Instance.browse([id_ for id_, _, _ in images])
    Study.lock(list({i.series.study for i in instances}))
    Result.lock(Result.browse(list({result for _, result, _ in images})))
    for instance, (_, result_id, image) in zip(instances, images):
        study, result = instance.series.study, Result(result_id)
        study.check_released()
        # The study may have been linked to another patient in the meantime
        if result not in study.linked_results:
            raise AttachmentError(
                gettext('health_orthanc.msg_attachment_changed'))
        record_events(study_events(
                'attach', [study], user_id=user,
                detail=instance.sop_instance_UID))
        with Transaction().set_user(user):
            _attach_image(
                result,
                instance.sop_instance_UID or instance.orthanc_UID, image,
                _description(
                    instance.instance_number,
                    instance.image_position_patient))


def _attach_image(resource, name, image, description):
    "Attach an image; an attachment with the same name is replaced"
    pool = Pool()
    Attachment = pool.get('ir.attachment')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    attachments = _find_attachments(resource, name)
    if not attachments:
        attachment, = Attachment.create([{
                    'resource': str(resource),
                    'name': name,
                    'type': 'data',
                    'data': image,
                    'description': description,
                    }])
        return attachment
    Attachment.write(attachments, {'data': image, 'description': description})
    # A user has attached it: it is no longer a key image
    Study.write(Study.search([
                ('key_image', 'in', [a.id for a in attachments]),
                ]), {'key_image': None})


def _find_attachments(resource, name):
    Attachment = Pool().get('ir.attachment')
    return Attachment.search([
            ('resource', '=', str(resource)),
            ('name', '=', name),
            ])


def _description(number, position):
    return gettext(
        'health_orthanc.msg_attachment_description', number=_shown(number),
        position=_shown(position))


def _shown(value):
    return '–' if value in {None, ''} else value


# Key images


def attach_key_images(server_id, client, limit=KEY_IMAGES_LIMIT):
    """Attach the key images of stable, linked studies without one.

    Failures are tried again in the next run, after all others.

    Parameters
    ----------
    server_id : int
    client : OrthancClient
    limit : int, optional
        The most studies.
    """
    for id_ in in_transaction(_without_key_image, server_id, limit):
        try:
            _attach_key_image(id_, client)
        except OrthancError as error:
            logger.warning("Study %s: no key image: %s", id_, error.kind)
            in_transaction(_write_study, id_, {'key_image_tried_at': now()})
            if error.transient:
                break
        except Exception as error:
            # An error in one study must not block the others
            log_unexpected(logger, error, "Study %s: no key image", id_)
            in_transaction(_write_study, id_, {'key_image_tried_at': now()})


def _without_key_image(server_id, limit, id_=None):
    "Return the ids of the studies, or of one, that need their key image"
    Server = Pool().get('gnuhealth.orthanc.config')
    if not read_columns(Server, server_id, 'key_image').key_image:
        return []
    return [found for found, in fetch_rows(
            _key_image_query(server_id, limit, id_))]


def _key_image_query(server_id, limit, id_=None):
    pool = Pool()
    study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
    step = pool.get('gnuhealth.imaging.procedure.step').__table__()
    rejected = step.select(
        Literal(1), where=(step.study == study.id)
        & (step.state == 'rejected'))
    # There is an index for it: no run may read all studies
    where = (
        (study.server == server_id)
        & (study.key_image_at == Null) & (study.stable == Literal(True))
        & (study.missing_since == Null) & (study.patient != Null)
        & (study.quarantined_at == Null)
        & study.link_status.in_(CONFIRMED)
        & ((study.historical == Literal(False)) | (study.historical == Null))
        & ~Exists(rejected))
    if id_:
        where &= study.id == id_
    return study.select(
        study.id, where=where,
        order_by=[study.key_image_tried_at.asc.nulls_first, study.id],
        limit=limit)


def _attach_key_image(id_, client):
    series = in_transaction(_series_with_images, id_)
    found = first_image(client, series, ATTACHED_SIZE) if series else None
    in_transaction(_store_key_image, id_, found)


def _series_with_images(id_):
    "Return the Orthanc ids of the series that may have images, in order"
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    series = [
        s for s in Series.search([
                ('study', '=', id_), ('missing_since', '=', None)],
            order=[('id', 'ASC')])
        if s.modality not in WITHOUT_IMAGES]
    return [s.orthanc_UID for s in sorted(series, key=_position)]


def _position(series):
    try:
        return 0, int(series.series_number)
    except (TypeError, ValueError):
        return 1, 0


def _store_key_image(id_, found):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    Study.lock([Study(id_)])
    study = Study(id_)
    # The link may have changed while the image was fetched
    if not _without_key_image(study.server.id, 1, id_):
        return
    values = {'key_image_at': now(), 'key_image_tried_at': None}
    resource = study.imaging_test or study.patient
    if found:
        name = found.instance.sop_instance_uid or found.instance.orthanc_id
        if not _find_attachments(resource, name):
            values['key_image'] = _attach_image(
                resource, name, found.image,
                _key_description(study, found.instance)).id
    _write_study(id_, values)


def _key_description(study, instance):
    # A token would have ended when somebody reads this
    viewers = [
        v for v in study.offered_viewers()
        if not v.opens_by_token(study.server)]
    return '\n'.join(filter(None, [
                gettext('health_orthanc.msg_attachment_key_image'),
                _description(
                    instance.number,
                    instance.image_position_patient.replace('\\', ', ')),
                viewers[0].url(study.server, study.viewer_values())
                if viewers else None,
                ]))


def _write_study(id_, values):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    Study.write([Study(id_)], values)


class Instance(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.series_instances'

    attached = fields.Function(
        fields.Boolean(
            "Attached",
            help="The image is attached to the result of its study."),
        'get_attached')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'attach_image_to_imaging_test_report': {
                    'invisible': Bool(Eval('missing_since')),
                    'depends': ['missing_since'],
                    },
                })

    @classmethod
    @ModelView.button
    @orthanc_errors
    def attach_image_to_imaging_test_report(cls, instances):
        """Attach images to the results of their studies.

        The reports of the results print them.
        """
        cls.check_read(instances)
        attach_to_results(instances)

    @classmethod
    @without_check_access
    def get_attached(cls, instances, name):
        Attachment = Pool().get('ir.attachment')
        places = {
            i.id: {
                (str(result), i.sop_instance_UID or i.orthanc_UID)
                for result in i.series.study.linked_results}
            for i in cls.browse(instances)}
        results = {
            result for found in places.values() for result, _ in found}
        attached = {
            (str(a.resource), a.name) for a in Attachment.search(
                [('resource', 'in', list(results))], order=[])}
        return {
            id_: bool(found) and found <= attached
            for id_, found in places.items()}


class Synchronization(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.synchronization'

    @classmethod
    def follow_up(cls, server_id, client, limit=None):
        super().follow_up(server_id, client, limit)
        attach_key_images(server_id, client, limit or KEY_IMAGES_LIMIT)
