/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in English */

export const EN = {
    files: "Choose Files",
    folder: "Choose Folder",
    drop: "or drop files, folders or a ZIP here",
    send: "Send",
    cancel: "Stop",
    retry: "Send Again What Failed",
    clear: "Clear",
    list: "Chosen files",
    name: "File",
    size: "Size",
    patient: "Patient",
    state: "State",
    new: "Is read",
    waiting: "To send",
    sending: "{percent} %",
    stored: "Stored",
    present: "Already there",
    refused: "Refused",
    skipped: "Passed over",
    failed: "Not sent",
    archive: "Archive",
    total: "{count} files, {size}",
    progress: "{done} of {count} files, {percent} %",
    counts: "{state}: {count}",
    several: "These are images of {count} patients.",
    more: "{count} more files are not listed.",
    ready: "Look at the patients, then press “Send”.",
    finished: "All files are sent. Go on with the next page.",
    unfinished: "{count} files are not sent. Send them again, or go " +
        "on without them.",
    packed: "The files go with the next page.",
    too_many: "The server takes at most {size} this way. Choose " +
        "fewer files, or ask the administrator for the route of " +
        "health_orthanc.",
    server: "Choose the server first.",
    canceled: "Stopped",
    unreadable: "The file cannot be read.",
    too_large: "The file is larger than the administrator allows.",
    forbidden: "You may not upload to this server.",
    unreachable: "GNU Health is not reached. Send it again later.",
    logged_out: "You are logged out.",
    lost: "The server has lost this upload. Send all files again.",
    error: "The server answers {status}.",
};
