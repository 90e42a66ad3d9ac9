# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders, their procedure steps and results"""

from . import (
    configuration, institution, request, result, states, step, study_type)

__all__ = [
    'configuration', 'institution', 'request', 'result', 'states', 'step',
    'study_type']
