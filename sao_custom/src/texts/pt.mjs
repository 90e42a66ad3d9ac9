/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in Portuguese, as in Brazil */

export const PT = {
    files: "Selecionar arquivos",
    folder: "Selecionar pasta",
    drop: "ou arraste para cá arquivos, pastas ou um arquivo ZIP",
    cancel: "Parar",
    retry: "Enviar os arquivos restantes",
    clear: "Limpar a lista",
    list: "Arquivos selecionados",
    name: "Arquivo",
    size: "Tamanho",
    patient: "Paciente",
    state: "Estado",
    new: "Lendo",
    waiting: "Em espera",
    sending: "Enviando: {percent}%",
    received: "Recebido",
    refused: "Recusado",
    skipped: "Pulado",
    failed: "Não enviado",
    archive: "Arquivo ZIP",
    total: "Arquivos: {count} ({size})",
    progress: "Arquivos processados: {done} de {count} ({percent}%)",
    counts: "{state}: {count}",
    several: "As imagens são de {count} pacientes diferentes.",
    more: "Arquivos não listados: {count}",
    reading: "Lendo os arquivos…",
    finished: "Todos os arquivos foram recebidos. Verifique na próxima " +
        "página de quem são as imagens.",
    unfinished: "Arquivos não enviados: {count}. Envie os arquivos " +
        "restantes ou continue sem eles.",
    packed: "Os arquivos serão enviados quando você continuar para a " +
        "próxima página.",
    too_many: "Sem a rota de envio do health_orthanc, podem ser enviados no " +
        "máximo {size}. Selecione menos arquivos ou peça ao administrador " +
        "que ative a rota.",
    canceled: "Parado",
    unreadable: "O arquivo não pode ser lido.",
    too_large: "O arquivo é maior do que o administrador permite.",
    forbidden: "Você não tem permissão para enviar arquivos.",
    unreachable: "Não é possível alcançar o GNU Health. Tente novamente " +
        "mais tarde.",
    logged_out: "Você não está mais conectado.",
    full: "O servidor não tem espaço para os arquivos. Envie menos arquivos " +
        "de cada vez ou fale com o administrador.",
    lost: "Este envio expirou. Envie todos os arquivos novamente.",
    error: "A requisição falhou (código HTTP {status}).",
};
