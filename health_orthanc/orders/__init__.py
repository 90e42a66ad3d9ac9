# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders, their procedure steps and results"""

from . import (
    daily_schedule, institution, request, request_display, result,
    result_report, states, step, step_calendar, step_display, study_type,
    worklist_configuration)

__all__ = [
    'daily_schedule', 'institution', 'request', 'request_display', 'result',
    'result_report', 'states', 'step', 'step_calendar', 'step_display',
    'study_type', 'worklist_configuration']
