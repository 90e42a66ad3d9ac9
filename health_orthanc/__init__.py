# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from trytond.pool import Pool

from . import (
    imaging, instance, ir, patient, series, server, study, synchronization,
    viewer, wizard)

__all__ = ['register']


def register():
    Pool.register(
        server.Server,
        viewer.Viewer,
        viewer.ServerViewer,
        patient.OrthancPatient,
        study.Study,
        series.Series,
        instance.Instance,
        synchronization.Synchronization,
        synchronization.Failure,
        imaging.Patient,
        imaging.TestResult,
        ir.Cron,
        wizard.server.AddServerStart,
        wizard.server.AddServerSuccess,
        wizard.server.AddServerFailure,
        wizard.synchronization.GetNewStudiesStart,
        wizard.synchronization.FullSynchronizeStart,
        wizard.synchronization.SynchronizationStarted,
        wizard.preview.PreviewShow,
        wizard.viewer.OpenViewerChoose,
        module='health_orthanc', type_='model')
    Pool.register(
        wizard.server.AddServer,
        wizard.synchronization.GetNewStudies,
        wizard.synchronization.FullSynchronize,
        wizard.preview.Preview,
        wizard.viewer.OpenViewer,
        module='health_orthanc', type_='wizard')
