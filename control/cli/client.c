/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/client.c: the admin socket from the command's side. docs/ADMIN.md has the frames.
 *
 * Promise: the command asks the control that the configuration means, or none. A mistake elsewhere
 *          in the file does not matter (common/config_place.c). The usual socket stands in for a
 *          file only when nobody named one and the usual one cannot be read.
 * Trap:    control may be restarting or stuck. Every wait has an end, and the error says what to
 *          try next.
 */
#include "control/cli/cli.h"

#include "common/bytes.h"
#include "common/config.h"
#include "common/limits/admin.h"
#include "common/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 500 };

/* The run_dir of the control that the configuration means. Returns 0, or says what is wrong and
 * returns the exit code. */
static int find_run_dir(const struct cli *cli, char run_dir[CONFIG_PATH_SIZE])
{
    char error[CONFIG_ERROR_SIZE];
    switch (config_find_run_dir(cli->config_path, run_dir, error)) {
    case CONFIG_PLACE_GOOD:
        return 0;
    case CONFIG_PLACE_LIKELY:
        fprintf(stderr, "holdfast: %s\nholdfast: its run_dir is plain: asking control in %s\n",
                error, run_dir);
        return 0;
    case CONFIG_PLACE_UNKNOWN:
        return cli_fail(
            cli, CLI_EXIT_USAGE,
            "%s; which control it means cannot be told: give --socket RUN_DIR/admin.sock", error);
    case CONFIG_PLACE_UNREADABLE:
        if (!cli->config_is_default) {
            return cli_fail(cli, CLI_EXIT_USAGE, "%s (--socket PATH does without it)", error);
        }
        fprintf(stderr, "holdfast: %s\nholdfast: asking control in %s (--socket names another)\n",
                error, CONFIG_RUN_DIR);
        bytes_copy_str(bytes_str(CONFIG_RUN_DIR), run_dir, CONFIG_PATH_SIZE);
        return 0;
    }
    assert(!"a place without an answer");
    return CLI_EXIT_USAGE;
}

/* The path of the socket. Returns 0, or says what is wrong and returns the exit code. */
static int find_socket(const struct cli *cli, char *path, size_t size)
{
    char run_dir[CONFIG_PATH_SIZE] = "";
    int r = cli->socket_path == NULL ? find_run_dir(cli, run_dir) : 0;
    int len = cli->socket_path == NULL ? snprintf(path, size, "%s/admin.sock", run_dir)
                                       : snprintf(path, size, "%s", cli->socket_path);
    if (r == 0 && (len < 0 || (size_t)len >= size)) {
        r = cli_fail(cli, CLI_EXIT_USAGE, "the path of the socket is too long");
    }
    return r;
}

static int connect_to(struct cli *cli)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int r = find_socket(cli, address.sun_path, sizeof address.sun_path);
    if (r != 0) {
        return r;
    }
    const struct timeval wait = {.tv_sec = cli->wait_s};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return cli_fail(cli, CLI_EXIT_CRITICAL, "making a socket: %s", trouble_meaning(-errno));
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        const char *advice = errno == EACCES
                                 ? "you are not in control.admin_group"
                                 : "is holdfast-control running? The spool can be read without it: "
                                   "holdfast spool list";
        r = cli_fail(cli, CLI_EXIT_CRITICAL, "no control at %s: %s (%s)", address.sun_path,
                     trouble_meaning(-errno), advice);
        close(fd);
        return r;
    }
    cli->fd = fd;
    return 0;
}

void client_close(struct cli *cli)
{
    if (cli->fd >= 0) {
        close(cli->fd);
        cli->fd = -1;
    }
}

static int send_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        p += n < 0 ? 0 : n;
        len -= n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

static int receive_all(int fd, void *data, size_t len)
{
    uint8_t *p = data;
    while (len > 0) {
        ssize_t n = recv(fd, p, len, 0);
        if (n == 0) {
            return -ECONNRESET;
        }
        if (n < 0 && errno != EINTR) {
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        }
        p += n < 0 ? 0 : n;
        len -= n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

static int send_frame(int fd, const json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    if (text == NULL) {
        return -EILSEQ; /* an argument was not UTF-8 */
    }
    size_t len = strlen(text);
    uint8_t head[4];
    put_be32(head, (uint32_t)len);
    int r = len > LIMIT_ADMIN_REQUEST_BYTES ? -EMSGSIZE : send_all(fd, head, sizeof head);
    if (r == 0) {
        r = send_all(fd, text, len);
    }
    free(text);
    return r;
}

static int receive_frame(int fd, json_t **answer_out)
{
    uint8_t head[4];
    int r = receive_all(fd, head, sizeof head);
    if (r < 0) {
        return r;
    }
    size_t len = get_be32(head);
    char *text = len <= LIMIT_ADMIN_ANSWER_BYTES ? malloc(len + 1) : NULL;
    if (text == NULL) {
        return len <= LIMIT_ADMIN_ANSWER_BYTES ? -ENOMEM : -EPROTO;
    }
    r = receive_all(fd, text, len);
    if (r == 0) {
        json_error_t error;
        *answer_out = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        if (!json_is_object(*answer_out)) {
            json_decref(*answer_out);
            r = -EPROTO;
        }
    }
    free(text);
    return r;
}

json_t *client_command(const char *cmd)
{
    json_t *request = json_pack("{siss}", "v", 1, "cmd", cmd);
    const char *sudo_user = getenv("SUDO_USER");
    assert(request != NULL);
    if (sudo_user != NULL && geteuid() == 0) { /* for the audit: root is many people */
        json_object_set_new(request, "sudo_user", json_string(sudo_user));
    }
    return request;
}

static int64_t steady_ms(void)
{
    struct timespec now;
    int r = clock_gettime(CLOCK_MONOTONIC, &now);
    assert(r == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until the answer begins to come. At a terminal it shows how long it has waited. */
static int wait_for_answer(const struct cli *cli)
{
    struct pollfd poll_fd = {.fd = cli->fd, .events = POLLIN};
    int64_t start_ms = steady_ms();
    bool told = false;
    int r;
    while ((r = poll(&poll_fd, 1, POLL_MS)) == 0 || (r < 0 && errno == EINTR)) {
        int64_t waited_s = (steady_ms() - start_ms) / 1000;
        if (waited_s >= cli->wait_s) {
            break;
        }
        if (waited_s > 0 && isatty(STDERR_FILENO) == 1) {
            told = true;
            fprintf(stderr, "\rwaiting for control: %" PRId64 " s%s", waited_s,
                    waited_s < 10 ? "" : " (Ctrl-C ends the waiting, not what control does)");
        }
    }
    int err = r > 0 ? 0 : r == 0 ? -ETIMEDOUT : -errno;
    if (told) {
        fprintf(stderr, "\r%*s\r", 78, ""); /* blanks over the line */
    }
    return err;
}

static int exchange(struct cli *cli, const json_t *request, json_t **answer_out)
{
    int r = send_frame(cli->fd, request);
    if (r == -EILSEQ) {
        return cli_fail(cli, CLI_EXIT_USAGE, "an argument is not UTF-8 text");
    }
    r = r == 0 ? wait_for_answer(cli) : r;
    r = r == 0 ? receive_frame(cli->fd, answer_out) : r;
    if (r == -ETIMEDOUT) {
        return cli_fail(
            cli, CLI_EXIT_CRITICAL,
            "control took the request and did not answer for %d s: it is busy or stuck; "
            "look at its journal, and whether it was done: holdfast audit",
            cli->wait_s);
    }
    if (r == -EPROTO) {
        return cli_fail(cli, CLI_EXIT_CRITICAL,
                        "control's answer is not one of the admin protocol");
    }
    if (r < 0) {
        return cli_fail(cli, CLI_EXIT_CRITICAL, "control did not answer: %s", trouble_meaning(r));
    }
    return 0;
}

json_t *client_request(struct cli *cli, json_t *request, int *exit_out)
{
    json_t *answer = NULL;
    assert(request != NULL);
    *exit_out = cli->fd >= 0 ? 0 : connect_to(cli);
    if (*exit_out == 0) {
        *exit_out = exchange(cli, request, &answer);
    }
    json_decref(request);
    if (*exit_out != 0) {
        return NULL;
    }
    if (!member_true(answer, "ok")) {
        int64_t code = member_number(answer, "exit");
        int known =
            code == CLI_EXIT_USAGE || code == CLI_EXIT_WARNING ? (int)code : CLI_EXIT_CRITICAL;
        const char *error = member_text(answer, "error");
        *exit_out = cli_fail(cli, known, "%s", error[0] == '\0' ? "refused" : error);
        json_decref(answer);
        return NULL;
    }
    return answer;
}
