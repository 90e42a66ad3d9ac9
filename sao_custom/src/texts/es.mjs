/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in Spanish */

export const ES = {
    files: "Elegir archivos",
    folder: "Elegir carpeta",
    drop: "o arrastre aquí archivos, carpetas o un ZIP",
    send: "Enviar",
    cancel: "Detener",
    retry: "Reenviar lo que falló",
    clear: "Vaciar",
    list: "Archivos elegidos",
    name: "Archivo",
    size: "Tamaño",
    patient: "Paciente",
    state: "Estado",
    new: "Se está leyendo",
    waiting: "Por enviar",
    sending: "{percent} %",
    stored: "Guardado",
    present: "Ya existía",
    refused: "Rechazado",
    skipped: "Omitido",
    failed: "No enviado",
    archive: "Archivo comprimido",
    total: "{count} archivos, {size}",
    progress: "{done} de {count} archivos, {percent} %",
    counts: "{state}: {count}",
    several: "Son imágenes de {count} pacientes.",
    more: "No se muestran otros {count} archivos.",
    ready: "Compruebe los pacientes y pulse «Enviar».",
    finished: "Todos los archivos están enviados. Continúe en la " +
        "página siguiente.",
    unfinished: "{count} archivos no se han enviado. Envíelos de " +
        "nuevo o continúe sin ellos.",
    packed: "Los archivos se envían con la página siguiente.",
    too_many: "El servidor acepta como máximo {size} de esta forma. " +
        "Elija menos archivos o pida al administrador la ruta de " +
        "health_orthanc.",
    server: "Elija primero el servidor.",
    canceled: "Detenido",
    unreadable: "No se puede leer el archivo.",
    too_large: "El archivo es mayor de lo que permite el " +
        "administrador.",
    forbidden: "No puede subir archivos a este servidor.",
    unreachable: "No se puede acceder a GNU Health. Envíelo de " +
        "nuevo más tarde.",
    logged_out: "Su sesión se ha cerrado.",
    lost: "El servidor ha perdido esta subida. Envíe de nuevo todos " +
        "los archivos.",
    error: "El servidor responde {status}.",
};
