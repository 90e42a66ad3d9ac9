# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that puts historical studies up for review"""

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.transaction import without_check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedFormMixin, RestrictedWizardMixin
from ..linking.queue import count_historical, queue_historical

__all__ = [
    'ReviewHistorical', 'ReviewHistoricalDone', 'ReviewHistoricalStart']

# The choice of studies without a date
_UNDATED = 'undated'


class ReviewHistoricalStart(RestrictedFormMixin, ModelView):
    "Review Historical Studies"
    __name__ = 'gnuhealth.imaging_orthanc.review_historical.start'
    _wizard = 'gnuhealth.imaging_orthanc.review_historical'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server",
        help="Leave empty for all servers.")
    year = fields.Selection(
        'get_years', "Year", required=True, sort=False,
        help="The year of the studies, with their number.")

    @fields.depends('server')
    @without_check_access
    def get_years(self):
        counts = count_historical(self.server)
        undated = counts.pop(None, 0)
        years = [
            (str(year), gettext(
                    'health_orthanc.msg_historical_year', year=year,
                    count=counts[year]))
            for year in sorted(counts, reverse=True)]
        if undated:
            years.append((_UNDATED, gettext(
                        'health_orthanc.msg_historical_undated',
                        count=undated)))
        return [(None, ''), *years]


class ReviewHistoricalDone(ModelView):
    "Review Historical Studies"
    __name__ = 'gnuhealth.imaging_orthanc.review_historical.done'

    message = fields.Text("Result", readonly=True)


class ReviewHistorical(RestrictedWizardMixin, Wizard):
    """Review Historical Studies

    Puts the unlinked and uncertain studies of a year up for review that a
    server had before it was added.
    """
    __name__ = 'gnuhealth.imaging_orthanc.review_historical'

    start = StateView(
        'gnuhealth.imaging_orthanc.review_historical.start',
        'health_orthanc.review_historical_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Put Up for Review", 'queue', 'tryton-ok', default=True),
            ])
    queue = StateTransition()
    done = StateView(
        'gnuhealth.imaging_orthanc.review_historical.done',
        'health_orthanc.review_historical_done_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])

    def transition_queue(self):
        "Put the studies of the year up for review"
        year = self.start.year
        count = queue_historical(
            None if year == _UNDATED else int(year), self.start.server)
        self.done.message = gettext(
            'health_orthanc.msg_historical_queued', count=count)
        return 'done'

    def default_done(self, fields):
        "Show the number of studies"
        return {'message': self.done.message}
