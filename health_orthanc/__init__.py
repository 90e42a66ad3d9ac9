# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from trytond.pool import Pool

from . import (
    correction, decision, dismissal, imaging, instance, ir, matching,
    notification, party, patient, placement, request, res, routes, search_key,
    series, server, step, study, synchronization, viewer, wizard, worklist)

__all__ = ['register', 'routes']


def register():
    Pool.register(
        server.Server,
        viewer.Viewer,
        viewer.ServerViewer,
        patient.OrthancPatient,
        study.Study,
        decision.StudyDecision,
        dismissal.DismissalRule,
        correction.StudyCorrection,
        notification.Notification,
        series.Series,
        instance.Instance,
        synchronization.Synchronization,
        synchronization.Failure,
        request.Institution,
        request.PatientEvaluation,
        worklist.WorklistTemplate,
        request.ImagingTest,
        request.Request,
        step.ProcedureStep,
        worklist.WorklistEntry,
        placement.Placement,
        worklist.WorklistConfiguration,
        res.UserApplication,
        imaging.Patient,
        party.Party,
        party.PersonName,
        party.AlternativeID,
        search_key.PatientKey,
        search_key.StudyKey,
        matching.MatchingConfiguration,
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
        wizard.step.RejectStepReason,
        wizard.dismissal.DismissStudiesReason,
        wizard.review.ReviewComparison,
        wizard.review.ReviewCandidate,
        wizard.review.ReviewShow,
        wizard.review.ReviewReason,
        wizard.review.ReviewDone,
        wizard.review.ConfirmSuggestionsStart,
        wizard.review.ConfirmSuggestionsDone,
        wizard.plugin.ConnectPluginStart,
        wizard.plugin.ConnectPluginShow,
        wizard.correction.CorrectIdentityLine,
        wizard.correction.CorrectIdentityShow,
        wizard.correction.CorrectIdentityAsked,
        module='health_orthanc', type_='model')
    Pool.register(
        wizard.server.AddServer,
        wizard.synchronization.GetNewStudies,
        wizard.synchronization.FullSynchronize,
        wizard.preview.Preview,
        wizard.viewer.OpenViewer,
        wizard.step.RejectStep,
        wizard.dismissal.DismissStudies,
        wizard.review.Review,
        wizard.review.ConfirmSuggestions,
        wizard.plugin.ConnectPlugin,
        wizard.correction.CorrectIdentity,
        wizard.correction.RestoreIdentity,
        module='health_orthanc', type_='wizard')
