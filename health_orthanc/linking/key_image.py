# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key images follow the links of their studies."""

from trytond.pool import Pool
from trytond.transaction import without_check_access

__all__ = ['has_images_of_people', 'take_back_key_images']


@without_check_access
def take_back_key_images(studies):
    """Remove key images from where studies do not belong any more.

    They are attached again to where the studies belong now.
    """
    pool = Pool()
    Attachment = pool.get('ir.attachment')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    moved = [
        s for s in Study.search([
                ('id', 'in', [s.id for s in studies]),
                ('key_image', '!=', None),
                ])
        if not _belongs(s)]
    attachments = [s.key_image for s in moved]
    Study.write(moved, {'key_image': None, 'key_image_at': None})
    Attachment.delete(attachments)


def _belongs(study):
    "Return whether the key image is with the result or patient of a study"
    resource = study.key_image.resource
    if resource == study.imaging_test:
        return True
    return bool(study.patient) and resource == study.patient


def has_images_of_people(result):
    "Return whether a result has other attachments than key images"
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    images = {a.id for a in result.images}
    return bool(images - {
            s.key_image.id for s in Study.search(
                [('key_image', 'in', list(images))])})
