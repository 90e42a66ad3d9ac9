/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in French */

export const FR = {
    files: "Choisir des fichiers",
    folder: "Choisir un dossier",
    drop: "ou déposez ici des fichiers, des dossiers ou un ZIP",
    send: "Envoyer",
    cancel: "Arrêter",
    retry: "Renvoyer ce qui a échoué",
    clear: "Vider",
    list: "Fichiers choisis",
    name: "Fichier",
    size: "Taille",
    patient: "Patient",
    state: "État",
    new: "En lecture",
    waiting: "À envoyer",
    sending: "{percent} %",
    stored: "Enregistré",
    present: "Déjà présent",
    refused: "Refusé",
    skipped: "Ignoré",
    failed: "Non envoyé",
    archive: "Archive",
    total: "{count} fichiers, {size}",
    progress: "{done} fichiers sur {count}, {percent} %",
    counts: "{state} : {count}",
    several: "Ce sont des images de {count} patients.",
    more: "{count} autres fichiers ne sont pas affichés.",
    ready: "Vérifiez les patients, puis appuyez sur « Envoyer ».",
    finished: "Tous les fichiers sont envoyés. Continuez à la page " +
        "suivante.",
    unfinished: "{count} fichiers ne sont pas envoyés. Renvoyez-les " +
        "ou continuez sans eux.",
    packed: "Les fichiers partent avec la page suivante.",
    too_many: "Le serveur accepte au plus {size} de cette façon. " +
        "Choisissez moins de fichiers ou demandez à " +
        "l'administrateur la route de health_orthanc.",
    server: "Choisissez d'abord le serveur.",
    canceled: "Arrêté",
    unreadable: "Le fichier ne peut pas être lu.",
    too_large: "Le fichier est plus grand que ce que " +
        "l'administrateur autorise.",
    forbidden: "Vous ne pouvez rien envoyer à ce serveur.",
    unreachable: "GNU Health est injoignable. Renvoyez-le plus tard.",
    logged_out: "Vous êtes déconnecté.",
    lost: "Le serveur a perdu cet envoi. Renvoyez tous les fichiers.",
    error: "Le serveur répond {status}.",
};
