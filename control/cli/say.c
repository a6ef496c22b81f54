/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/say.c: what every command says alike: answers as JSON, and what went wrong.
 *
 * Promise: with --json an error is JSON, too. Words of others are cleaned before they are printed.
 */
#include "control/cli/cli.h"

#include <stdarg.h>

int cli_fail(const struct cli *cli, int exit_code, const char *format, ...)
{
    char text[CLI_TEXT_SIZE * 2];
    char clean[CLI_TEXT_SIZE * 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    utf8_clean(text, clean, sizeof clean);
    if (cli->json) {
        cli_print_json(json_pack("{sisbsssi}", "v", 1, "ok", 0, "error", clean, "exit", exit_code));
    } else {
        fprintf(stderr, "holdfast: %s\n", clean);
    }
    return exit_code;
}

void cli_print_json(json_t *answer)
{
    assert(answer != NULL);
    int r = json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    assert(r == 0 || ferror(stdout));
    fputc('\n', stdout);
    json_decref(answer);
}
