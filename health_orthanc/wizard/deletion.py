# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that deletes images from Orthanc"""

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedWizardMixin
from ..common.exceptions import DeletionError
from ..exchange.deletion import LEVELS, count_images, get_study

__all__ = [
    'DeleteImages', 'DeleteImagesConfirm', 'DeleteImagesDone',
    'DeleteImagesLine']

# Each is deleted from Orthanc while a user waits
LIMIT = 20


class DeleteImagesLine(ModelView):
    "Images to Delete"
    __name__ = 'gnuhealth.imaging_orthanc.delete_images.line'

    what = fields.Char("Resource", readonly=True)
    patient = fields.Char("Patient", readonly=True)
    patient_in_images = fields.Char("Patient in the Images", readonly=True)
    series = fields.Integer("Series", readonly=True)
    images = fields.Integer("Images", readonly=True)
    server = fields.Char("Server", readonly=True)
    state = fields.Selection([
            (None, ''),
            ('asked', "Not Confirmed Yet"),
            ('done', "Deleted"),
            ('failed', "Not Deleted"),
            ], "State", readonly=True, sort=False)
    remark = fields.Text("Comment", readonly=True)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(Eval('state') == 'failed', 'danger',
                    If(Bool(Eval('remark')), 'warning', '')),
                ['state', 'remark']),
            ]


class DeleteImagesConfirm(ModelView):
    "Delete Images"
    __name__ = 'gnuhealth.imaging_orthanc.delete_images.confirm'

    question = fields.Text("Images to Delete", readonly=True)
    lines = fields.One2Many(
        'gnuhealth.imaging_orthanc.delete_images.line', None, "Images",
        readonly=True)
    reason = fields.Char(
        "Reason", help="The reason is recorded under Deletions.")


class DeleteImagesDone(ModelView):
    "Images Deleted"
    __name__ = 'gnuhealth.imaging_orthanc.delete_images.done'

    message = fields.Text("Result", readonly=True)
    lines = fields.One2Many(
        'gnuhealth.imaging_orthanc.delete_images.line', None, "Images",
        readonly=True)


class DeleteImages(RestrictedWizardMixin, Wizard):
    """Delete Images

    Deletes the selected studies, series or instances from Orthanc after a
    confirmation, at most `LIMIT` at once.
    """
    __name__ = 'gnuhealth.imaging_orthanc.delete_images'

    _record_models = frozenset(LEVELS)
    start_state = 'confirm'
    confirm = StateView(
        'gnuhealth.imaging_orthanc.delete_images.confirm',
        'health_orthanc.delete_images_confirm_view_form', [
            Button("Cancel", 'end', 'tryton-cancel', default=True),
            Button("Delete from Orthanc", 'delete_', 'tryton-delete'),
            ])
    delete_ = StateTransition()
    done = StateView(
        'gnuhealth.imaging_orthanc.delete_images.done',
        'health_orthanc.delete_images_done_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])

    def _selected(self):
        records = list(self.records)
        if len(records) > LIMIT:
            raise DeletionError(gettext(
                    'health_orthanc.msg_deletion_many', limit=LIMIT))
        return records

    def default_confirm(self, fields):
        """Describe the images, and the obstacles to their deletion.

        Raises
        ------
        DeletionError
            Too many records are selected.
        """
        Deletion = Pool().get('gnuhealth.imaging_orthanc.deletion')
        records = self._selected()
        lines = []
        for record in records:
            obstacle = Deletion.find_obstacle(record)
            lines.append({
                    **_image_values(record),
                    'remark': Deletion.describe_state('failed', obstacle),
                    })
        return {
            'question': gettext(
                'health_orthanc.msg_deletion_question',
                patients='; '.join(sorted({
                            line['patient'] or line['patient_in_images'] or '?'
                            for line in lines})),
                series=sum(line['series'] for line in lines),
                images=sum(line['images'] for line in lines)),
            'lines': lines,
            }

    def transition_delete_(self):
        """Delete the images from Orthanc; errors are shown on the next page.

        Raises
        ------
        DeletionError
            Too many records are selected.
        """
        Deletion = Pool().get('gnuhealth.imaging_orthanc.deletion')
        records = self._selected()
        # Deleted records cannot be described afterwards
        lines = [_image_values(record) for record in records]
        outcomes = Deletion.delete_records(records, self.confirm.reason)
        for line, (state, message) in zip(lines, outcomes):
            line.update(state=state, remark=message)
        self.done.lines = lines
        left = sum(state != 'done' for state, _ in outcomes)
        self.done.message = gettext(
            'health_orthanc.msg_deletion_done', done=len(outcomes) - left,
            left=left)
        return 'done'

    def default_done(self, fields):
        "Show the outcome for each record"
        return {
            'message': self.done.message,
            'lines': [line._default_values for line in self.done.lines],
            }

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'


def _image_values(record):
    study = get_study(record)
    series, images = count_images(record)
    return {
        'what': record.rec_name,
        'patient': study.gnuhealth_patient_name,
        'patient_in_images': ' '.join(filter(None, [
                    study.patient_display_name, study.patient_id])),
        'series': series,
        'images': images or 0,
        'server': study.server_label,
        }
