/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/export.c: messages out of a spool into ordinary files.
 *
 * Promise: <id>.eml holds the message's bytes as they were stored, durable before the next message
 *          begins; <id>.json is valid JSON whatever a peer said.
 * Trap:    an address is bytes, not text. Each byte that is not printable ASCII becomes a \u00xx
 *          escape, as if it were Latin-1, so that the exact bytes can be recovered.
 */
#include "common/id.h"
#include "spool/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct job {
    struct spool_reader *reader;
    struct trouble *trouble;
    int dir_fd;
    uint64_t exported_count;
    spool_tool_bad_fn bad;
    void *ctx;
};

/* Creates a new file in the directory, open for writing. */
static int create_file(const struct job *job, const char *id, const char *suffix, FILE **file_out)
{
    char name[ID_TEXT_SIZE + 8];
    snprintf(name, sizeof name, "%s.%s", id, suffix);
    int fd = openat(job->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return trouble_begin(job->trouble, -errno, "making %s", name);
    }
    FILE *f = fdopen(fd, "w");
    if (f == NULL) {
        int err = trouble_begin(job->trouble, -errno, "making %s", name);
        close(fd);
        return err;
    }
    *file_out = f;
    return 0;
}

/* Makes the file durable and closes it. */
static int finish_file(const struct job *job, FILE *f, const char *id, int err)
{
    errno = 0;
    if (err == 0 && (fflush(f) != 0 || ferror(f) != 0 || fsync(fileno(f)) != 0)) {
        err = trouble_begin(job->trouble, errno != 0 ? -errno : -EIO, "writing %s", id);
    }
    if (fclose(f) != 0 && err == 0) {
        err = trouble_begin(job->trouble, -errno, "writing %s", id);
    }
    return err;
}

static void remove_file(const struct job *job, const char *id, const char *suffix)
{
    char name[ID_TEXT_SIZE + 8];
    snprintf(name, sizeof name, "%s.%s", id, suffix);
    (void)unlinkat(job->dir_fd, name, 0); /* an incomplete file is not kept */
}

struct piece {
    const struct job *job;
    FILE *file;
    const char *id;
};

static int write_piece(void *ctx, struct bytes bytes)
{
    const struct piece *piece = ctx;
    errno = 0;
    if (fwrite(bytes.data, 1, bytes.len, piece->file) == bytes.len) {
        return 0;
    }
    return trouble_begin(piece->job->trouble, errno != 0 ? -errno : -EIO, "writing %s.eml",
                         piece->id);
}

static int write_body(struct job *job, const struct spool_tool_item *item, const char *id)
{
    FILE *f = NULL;
    int err = create_file(job, id, "eml", &f);
    if (err != 0) {
        return err;
    }
    struct piece piece = {.job = job, .file = f, .id = id};
    err = spool_read_body(job->reader, item->commit_pos, item->id, write_piece, &piece);
    err = finish_file(job, f, id, err);
    if (err != 0) {
        remove_file(job, id, "eml");
    }
    return err;
}

static void json_string(FILE *f, struct bytes b)
{
    fputc('"', f);
    for (size_t i = 0; i < b.len; i++) {
        uint8_t c = b.data[i];
        if (c == '"' || c == '\\') {
            fprintf(f, "\\%c", c);
        } else if (c < 0x20 || c > 0x7e) {
            fprintf(f, "\\u%04x", c);
        } else {
            fputc(c, f);
        }
    }
    fputc('"', f);
}

static const char *rcpt_state(const struct spool_tool_delivery *d, unsigned index)
{
    if (rcptset_has(&d->delivered, index)) {
        return "delivered";
    }
    return rcptset_has(&d->frozen, index) ? "frozen" : "waiting";
}

static void json_delivery(FILE *f, const struct spool_tool_item *item, uint32_t route)
{
    const struct spool_tool_delivery *d = &item->delivery[route];
    char id[ID_TEXT_SIZE];
    fprintf(f, "\n  {\"id\": \"%s\", \"route_id\": %" PRIu32 ", \"rcpts\": [", id_format(d->id, id),
            d->route_id);
    unsigned index = 0;
    for (unsigned i = 0; i < item->envelope->rcpt_count; i++) {
        if (item->envelope->rcpt[i].route_index != route) {
            continue;
        }
        fprintf(f, "%s\n   {\"address\": ", index > 0 ? "," : "");
        json_string(f, item->envelope->rcpt[i].address);
        fprintf(f, ", \"state\": \"%s\"}", rcpt_state(d, index));
        index++;
    }
    fputs("]", f);
    if (d->has_state) {
        fprintf(f,
                ",\n   \"last\": {\"outcome\": \"%s\", \"code\": %u, \"time_ms\": %" PRIu64
                ", \"reply\": ",
                outcome_text((enum outcome)d->last.outcome), d->last.code, d->last.time_ms);
        json_string(f, bytes_of(d->last.text, d->last.text_len));
        fputs("}", f);
    }
    fputs("}", f);
}

static int write_envelope(struct job *job, const struct spool_tool_item *item, const char *id)
{
    FILE *f = NULL;
    int err = create_file(job, id, "json", &f);
    if (err != 0) {
        return err;
    }
    char client[IP_TEXT_SIZE];
    fprintf(f,
            "{\"id\": \"%s\",\n \"received_ms\": %" PRIu64 ",\n \"body_bytes\": %" PRIu32
            ",\n \"client\": \"%s\",\n \"helo\": ",
            id, item->received_ms, item->body_bytes, ip_format(&item->envelope->client, client));
    json_string(f, item->envelope->helo);
    fputs(",\n \"sender\": ", f);
    json_string(f, item->envelope->sender);
    fprintf(f, ",\n \"body_8bitmime\": %s,\n \"deliveries\": [",
            (item->envelope->flags & ENVELOPE_8BITMIME) != 0 ? "true" : "false");
    for (uint32_t i = 0; i < item->delivery_count; i++) {
        fputs(i > 0 ? "," : "", f);
        json_delivery(f, item, i);
    }
    fputs("]}\n", f);
    return finish_file(job, f, id, 0);
}

static int export_item(void *ctx, const struct spool_tool_item *item)
{
    struct job *job = ctx;
    char id[ID_TEXT_SIZE];
    id_format(item->id, id);
    int err = item->has_envelope ? write_body(job, item, id) : -EBADMSG;
    if (err == -EBADMSG || err == -ENOENT) {
        if (job->bad != NULL) {
            job->bad(job->ctx, item->commit_pos, item->id, "not whole, not exported");
        }
        return 0;
    }
    if (err == 0) {
        err = write_envelope(job, item, id);
    }
    job->exported_count += err == 0;
    return err;
}

int spool_tool_export(const struct spool_tool_source *source, const char *dir,
                      uint64_t *exported_out, spool_tool_bad_fn bad, void *ctx)
{
    struct job job = {.reader = source->reader, .trouble = source->trouble, .bad = bad, .ctx = ctx};
    *exported_out = 0;
    job.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (job.dir_fd < 0) {
        return trouble_begin(job.trouble, -errno, "opening %s", dir);
    }
    int err = spool_tool_list(source, export_item, &job);
    if (err == 0 && fsync(job.dir_fd) != 0) {
        err = trouble_begin(job.trouble, -errno, "syncing %s", dir);
    }
    close(job.dir_fd);
    *exported_out = job.exported_count;
    return err;
}
