/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in German */

export const DE = {
    files: "Dateien auswählen",
    folder: "Ordner auswählen",
    drop: "oder Dateien, Ordner oder ein ZIP-Archiv hierher ziehen",
    cancel: "Anhalten",
    retry: "Übrige Dateien senden",
    clear: "Liste leeren",
    list: "Ausgewählte Dateien",
    name: "Datei",
    size: "Größe",
    patient: "Patient",
    state: "Status",
    new: "Wird gelesen",
    waiting: "Wartet",
    sending: "Wird gesendet: {percent} %",
    received: "Empfangen",
    refused: "Abgelehnt",
    skipped: "Übersprungen",
    failed: "Nicht gesendet",
    archive: "ZIP-Archiv",
    total: "Dateien: {count} ({size})",
    progress: "Verarbeitete Dateien: {done} von {count} ({percent} %)",
    counts: "{state}: {count}",
    several: "Die Bilder gehören zu {count} verschiedenen Patienten.",
    more: "Nicht aufgeführte Dateien: {count}",
    reading: "Die Dateien werden gelesen …",
    finished: "Alle Dateien wurden empfangen. Prüfen Sie auf der nächsten " +
        "Seite, wessen Bilder es sind.",
    unfinished: "Nicht gesendete Dateien: {count}. Senden Sie die übrigen " +
        "Dateien oder fahren Sie ohne sie fort.",
    packed: "Die Dateien werden gesendet, wenn Sie zur nächsten Seite gehen.",
    too_many: "Ohne die Upload-Route von health_orthanc können höchstens " +
        "{size} gesendet werden. Wählen Sie weniger Dateien aus oder bitten " +
        "Sie den Administrator, die Route freizugeben.",
    canceled: "Angehalten",
    unreadable: "Die Datei kann nicht gelesen werden.",
    too_large: "Die Datei ist größer, als der Administrator erlaubt.",
    forbidden: "Sie dürfen keine Dateien hochladen.",
    unreachable: "GNU Health ist nicht erreichbar. Versuchen Sie es später " +
        "erneut.",
    logged_out: "Sie sind nicht mehr angemeldet.",
    full: "Auf dem Server ist kein Platz für die Dateien. Laden Sie weniger " +
        "Dateien auf einmal hoch oder fragen Sie den Administrator.",
    lost: "Dieser Upload ist abgelaufen. Senden Sie alle Dateien erneut.",
    error: "Die Anfrage ist fehlgeschlagen (HTTP-Status {status}).",
};
