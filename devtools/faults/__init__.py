# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that arrive while GNU Health and Orthanc are killed and restarted."""
