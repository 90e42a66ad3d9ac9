# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal of misplaced key images"""

from trytond.pool import Pool
from trytond.transaction import without_check_access

__all__ = ['has_other_images', 'remove_misplaced_key_images']


@without_check_access
def remove_misplaced_key_images(studies):
    """Remove the key images of studies whose patient or result has changed.

    The next synchronization attaches them at the new place.

    Parameters
    ----------
    studies : list of Study
    """
    pool = Pool()
    Attachment = pool.get('ir.attachment')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    moved = [
        s for s in Study.search([
                ('id', 'in', [s.id for s in studies]),
                ('key_image', '!=', None),
                ])
        if not _is_attached_correctly(s)]
    attachments = [s.key_image for s in moved]
    Study.write(moved, {'key_image': None, 'key_image_at': None})
    Attachment.delete(attachments)


def _is_attached_correctly(study):
    "Return whether a key image is attached to the study's result or patient"
    resource = study.key_image.resource
    if resource == study.imaging_test:
        return True
    return bool(study.patient) and resource == study.patient


def has_other_images(result):
    "Return whether a result has attachments that are not key images"
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    images = {a.id for a in result.images}
    return bool(images - {
            s.key_image.id for s in Study.search(
                [('key_image', 'in', list(images))])})
