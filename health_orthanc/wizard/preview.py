# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that shows the frames of an instance"""

from trytond.model import ModelView, fields
from trytond.pyson import Bool, Eval
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..archive.preview import get_frame, get_image_problems
from ..common.access import RestrictedWizardMixin
from ..common.exceptions import orthanc_errors
from ..core.orthanc.errors import NoImage
from ..linking.unconfirmed import check_confirmed

__all__ = ['Preview', 'PreviewShow']


class PreviewShow(ModelView):
    "Image Preview"
    __name__ = 'gnuhealth.imaging_orthanc.preview.show'

    image = fields.Binary("Image", readonly=True)
    problem = fields.Text(
        "No Image", readonly=True,
        states={'invisible': ~Bool(Eval('problem'))})
    frame = fields.Integer(
        "Frame", required=True,
        domain=[
            ('frame', '>=', 1),
            ('frame', '<=', Eval('frames_count', 1)),
            ])
    frames_count = fields.Integer("Frames", readonly=True)


class Preview(RestrictedWizardMixin, Wizard):
    """Image Preview

    Shows the frames of an instance, one at a time.
    """
    __name__ = 'gnuhealth.imaging_orthanc.preview'

    _record_models = frozenset({'gnuhealth.imaging_orthanc.series_instances'})
    start_state = 'show'
    show = StateView(
        'gnuhealth.imaging_orthanc.preview.show',
        'health_orthanc.preview_show_view_form', [
            Button("Close", 'end', 'tryton-close'),
            Button("Previous", 'previous', 'tryton-arrow-left',
                states={'readonly': Eval('frame', 1) <= 1}),
            Button("Show", 'reload', 'tryton-refresh', default=True),
            Button("Next", 'next_', 'tryton-arrow-right',
                states={
                    'readonly': Eval('frame', 1) >= Eval('frames_count', 1),
                    }),
            ])
    previous = StateTransition()
    reload = StateTransition()
    next_ = StateTransition()

    @orthanc_errors
    def default_show(self, fields):
        """Fetch the frame from Orthanc.

        Raises
        ------
        OrthancUserError
        UnconfirmedStudyWarning
            The image may belong to somebody else.
        """
        check_confirmed([self.record.series.study])
        count = self.record.number_of_frames or 1
        frame = min(max(getattr(self.show, 'frame', None) or 1, 1), count)
        image = problem = None
        try:
            image = get_frame(self.record, frame - 1)
        except NoImage:
            problem = get_image_problems([self.record])[self.record.id]
        return {
            'image': image,
            'problem': problem,
            'frame': frame,
            'frames_count': count,
            }

    def transition_reload(self):
        "Show the frame with the entered number"
        return self._turn_frames(0)

    def transition_previous(self):
        "Show the previous frame"
        return self._turn_frames(-1)

    def transition_next_(self):
        "Show the next frame"
        return self._turn_frames(1)

    def _turn_frames(self, frames):
        # The client sends the image back; it must not stay in the session
        self.show.image = None
        self.show.frame = (self.show.frame or 1) + frames
        return 'show'
