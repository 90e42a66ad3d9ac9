# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""DICOMweb (PS3.18): what is passed on to Orthanc, and how."""
