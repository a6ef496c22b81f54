/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/client.c: the admin socket from the command's side. docs/ADMIN.md has the frames.
 *
 * Promise: an operator gets through to control also when the usual configuration file is broken or
 *          not readable for him: the usual socket is tried then, and the trouble said. Who named a
 *          file meant its relay, and never gets through to another one.
 * Trap:    control may be restarting or stuck; every wait ends, and the end says what to try.
 */
#include "control/cli/cli.h"

#include "common/bytes.h"
#include "common/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/holdfast/admin.sock"

enum {
    WAIT_S = 90, /* a hold is answered when every worker has passed it: longer than its bound */
};

/* 0, or the exit code after what is wrong was said. */
static int find_socket(const struct cli *cli, char *path, size_t size)
{
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    int len;
    if (cli->socket_path != NULL) {
        len = snprintf(path, size, "%s", cli->socket_path);
    } else if (config_load(cli->config_path, &config, error) == 0) {
        len = snprintf(path, size, "%s/admin.sock", config->run_dir);
        config_free(config);
    } else if (!cli->config_is_default) {
        return cli_fail(cli, CLI_EXIT_USAGE, "%s (--socket names the socket)", error);
    } else {
        fprintf(stderr, "holdfast: %s\nholdfast: trying %s (--socket names another)\n", error,
                DEFAULT_SOCKET);
        len = snprintf(path, size, "%s", DEFAULT_SOCKET);
    }
    if (len < 0 || (size_t)len >= size) {
        return cli_fail(cli, CLI_EXIT_USAGE, "the path of the socket is too long");
    }
    return 0;
}

static int connect_to(struct cli *cli)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int r = find_socket(cli, address.sun_path, sizeof address.sun_path);
    if (r != 0) {
        return r;
    }
    const struct timeval wait = {.tv_sec = WAIT_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return cli_fail(cli, CLI_EXIT_CRITICAL, "socket: %s", strerror(errno));
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        const char *advice = errno == EACCES
                                 ? "you are not in control.admin_group"
                                 : "is holdfast-control running? The spool can be read without it: "
                                   "holdfast spool list";
        r = cli_fail(cli, CLI_EXIT_CRITICAL, "no control at %s: %s (%s)", address.sun_path,
                     strerror(errno), advice);
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
    assert(request != NULL);
    return request;
}

static int exchange(struct cli *cli, const json_t *request, json_t **answer_out)
{
    int r = send_frame(cli->fd, request);
    if (r == -EILSEQ) {
        return cli_fail(cli, CLI_EXIT_USAGE, "an argument is not UTF-8 text");
    }
    if (r == 0) {
        r = receive_frame(cli->fd, answer_out);
    }
    if (r < 0) {
        return cli_fail(cli, CLI_EXIT_CRITICAL, "control did not answer: %s%s", strerror(-r),
                        r == -ETIMEDOUT ? " (it is busy or stuck; look at its journal)" : "");
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
