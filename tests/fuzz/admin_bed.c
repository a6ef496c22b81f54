/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/admin_bed.c: see admin_bed.h. */
#include "tests/fuzz/admin_bed.h"

#include "common/crc32c.h"
#include "common/id.h"
#include "common/limits/ring.h"
#include "control/core/mem.h"
#include "control/shell/frame.h"
#include "tests/unit/spool/memdisk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUFFER = 16 * 1024, EVENTS_MAX = 8, ROUNDS_MAX = 20000, RECORD_STEP = 1024, PACE = 200 };

static struct control_time now;

struct control_time shell_time(void)
{
    return now;
}

void admin_bed_sleep(uint64_t ms)
{
    now.now_ns += ms * 1000000;
    now.wall_ms += ms;
}

/* --- the configuration ----------------------------------------------------------------------- */

static char *domains[3] = {(char[]){"one.test"}, (char[]){"two.test"}, (char[]){"three.test"}};
static struct config_hop hops[2];
static struct config_route routes[3];
static struct config config;

static void name_hop(struct config_hop *hop, const char *name)
{
    const uint8_t local[4] = {127, 0, 0, 1};
    config_hop_defaults(hop);
    (void)bytes_copy_str(bytes_str(name), hop->name, sizeof hop->name);
    hop->address_count = 1;
    hop->address[0] = ip_from_v4(local);
    hop->port = 25;
}

static void name_route(struct config_route *route, const char *name, char **domain)
{
    config_route_defaults(route);
    (void)bytes_copy_str(bytes_str(name), route->name, sizeof route->name);
    (void)bytes_copy_str(bytes_str("postmaster"), route->owner, sizeof route->owner);
    route->domain_count = 1;
    route->domain = domain;
    route->hop_count = 1;
}

static void configure(void)
{
    config_defaults(&config);
    config.state_dir[0] = '\0'; /* the policy stays in memory */
    (void)bytes_copy_str(bytes_str("mx.test"), config.hostname, sizeof config.hostname);
    config.control.checkpoint_interval_ms = UINT32_MAX; /* none: the spool stays as it is */
    name_hop(&hops[0], "h1");
    name_hop(&hops[1], "h2");
    name_route(&routes[0], "r1", &domains[0]);
    name_route(&routes[1], "r2", &domains[1]);
    name_route(&routes[2], "r3", &domains[2]);
    routes[1].hop_index[0] = 1;
    routes[2].hop_count = 2;
    routes[2].hop_index[1] = 1;
    config.hop_count = 2;
    config.hop = hops;
    config.route_count = 3;
    config.route = routes;
}

/* --- the spool ------------------------------------------------------------------------------- */

/* Its deliveries. A recipient whose class is OUTCOME_NONE waits. */
static const struct mail {
    const char *sender;
    size_t padding; /* bytes of body that are no text */
    uint32_t count;
    struct {
        uint32_t route;
        const char *address;
        enum outcome class;
    } rcpt[3];
} mails[] = {
    {"a@from.test", 0, 1, {{1, "user@one.test", OUTCOME_NONE}}},
    {"A@From.Test",
     0,
     3,
     {{1, "User@ONE.test", OUTCOME_NONE},
      {2, "user@two.test", OUTCOME_NONE},
      {1, "more@other.test", OUTCOME_USER_UNKNOWN}}},
    {"", 0, 2, {{3, "x@three.test", OUTCOME_POLICY}, {3, "y@three.test", OUTCOME_DELIVERED}}},
    {"bad@held.test", 0, 1, {{1, "user@one.test", OUTCOME_NONE}}},
    {"new\x1b[2J\xff@from.test", 9000, 1, {{2, "\"a b\"@two.test", OUTCOME_REPLY_4XX}}},
    {"o@from.test", 0, 1, {{77, "lost@gone.test", OUTCOME_NONE}}},
    {"f@from.test", 0, 1, {{2, "user@two.test", OUTCOME_CONTENT}}},
    {"g@from.test", 0, 1, {{3, "user@three.test", OUTCOME_SIZE}}},
};

static struct memdisk *disk;
static uint64_t spool_state_pos;

static void submit(struct spool_writer *writer, struct spool_submit *s)
{
    struct spool_submit *done = NULL;
    spool_writer_submit(writer, s);
    while (done == NULL) {
        done = spool_writer_turn(writer, true);
    }
    assert(done == s && s->result == SPOOL_RESULT_OK);
}

static size_t encode(const struct mail *mail, uint8_t *out)
{
    static struct envelope e;
    uint8_t index = 0;
    e = (struct envelope){.received_ms = now.wall_ms,
                          .helo = bytes_str("client.test"),
                          .sender = bytes_str(mail->sender),
                          .rcpt_count = (uint16_t)mail->count};
    for (uint32_t i = 0; i < mail->count; i++) {
        uint32_t same = 0;
        while (mail->rcpt[same].route != mail->rcpt[i].route) {
            same++;
        }
        e.rcpt[i] = (struct envelope_rcpt){
            .route_id = mail->rcpt[i].route,
            .route_index = same < i ? e.rcpt[same].route_index : index++,
            .address = bytes_str(mail->rcpt[i].address),
        };
    }
    size_t len = envelope_encode(&e, out, BUFFER / 2);
    assert(len > 0);
    return len;
}

static void write_outcome(struct spool_writer *writer, uint64_t id, unsigned rcpt,
                          enum outcome class)
{
    static const char text[] = "5.7.1 go\x1b[2Jaway \xc3\xa4\xff";
    struct spool_submit s = {.kind = SPOOL_SUBMIT_STATE};
    s.state.id = id;
    s.state.rcpts.word[0] = UINT64_C(1) << rcpt;
    s.state.time_ms = now.wall_ms;
    s.state.hop_id = 1;
    s.state.kind = ABI_STATE_OUTCOME;
    s.state.outcome = (uint8_t) class;
    s.state.phase = ABI_PHASE_DOT;
    s.state.code = class == OUTCOME_DELIVERED ? 250 : 550;
    s.state.text_len = sizeof text - 1;
    memcpy(s.state.text, text, sizeof text - 1);
    submit(writer, &s);
}

static void write_mail(struct spool_writer *writer, uint64_t counter, const struct mail *mail)
{
    static const char head[] = "Subject: x\r\n\r\nbody\r\n";
    uint64_t id = id_make(spool_writer_start(writer), counter, 0);
    uint8_t *buffer = aligned_alloc(SPOOL_BLOCK_BYTES, BUFFER);
    assert(buffer != NULL);
    memset(buffer, 0, BUFFER);
    uint8_t *payload = buffer + spool_record_prefix(0);
    size_t envelope_bytes = encode(mail, payload);
    memcpy(payload + envelope_bytes, head, sizeof head - 1);
    memset(payload + envelope_bytes + sizeof head - 1, 0xff, mail->padding);
    size_t body_bytes = sizeof head - 1 + mail->padding;
    struct spool_txn txn = {.id = id, .record_count = 1};
    struct spool_submit s = {.kind = SPOOL_SUBMIT_COMMIT,
                             .txn = &txn,
                             .buffer = buffer,
                             .buffer_size = BUFFER,
                             .envelope_bytes = (uint32_t)envelope_bytes,
                             .body_bytes = (uint32_t)body_bytes,
                             .body_crc = crc32c(0, payload, envelope_bytes + body_bytes),
                             .total_bytes = (uint32_t)body_bytes,
                             .received_ms = now.wall_ms};
    submit(writer, &s);
    free(buffer);
    for (unsigned i = 0; i < mail->count; i++) {
        /* the second recipient of the second mail is the only one of its route */
        bool other = mail->rcpt[i].route != mail->rcpt[0].route;
        unsigned of_route = !other && i == 2 ? 1 : i;
        if (mail->rcpt[i].class != OUTCOME_NONE) {
            write_outcome(writer, id | other, of_route, mail->rcpt[i].class);
        }
    }
}

static void make_spool(void)
{
    static const struct spool_settings settings = {
        .segment_bytes = 1 << 20, .segments_max = 6, .state_segment_bytes = 1 << 20};
    struct spool_writer *writer;
    if (disk != NULL) {
        return;
    }
    disk = memdisk_create(1);
    int r = spool_writer_open(memdisk_io(disk), &settings, &writer);
    assert(r == 0);
    for (uint32_t i = 0; i < sizeof mails / sizeof mails[0]; i++) {
        write_mail(writer, i + 1, &mails[i]);
        admin_bed_sleep(60000);
    }
    spool_state_pos = spool_writer_state_pos(writer);
    spool_writer_close(writer);
}

/* --- control --------------------------------------------------------------------------------- */

static int listen_anywhere(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* no name: the kernel finds one */
    bool good = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(sa_family_t)) == 0 &&
                listen(fd, ADMIN_BED_CLIENTS) == 0;
    assert(good);
    return fd;
}

static void connect_client(struct admin_bed *bed, struct admin_bed_client *client)
{
    struct sockaddr_un address;
    socklen_t len = sizeof address;
    int listen_fd = bed->place.run_fd;
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool good = client->fd >= 0 && getsockname(listen_fd, (struct sockaddr *)&address, &len) == 0 &&
                connect(client->fd, (struct sockaddr *)&address, len) == 0;
    assert(good);
}

static void start(struct admin_bed *bed)
{
    char error[CONFIG_ERROR_SIZE];
    configure();
    int r = control_create(&config, bed->db, memdisk_io(disk), now, &bed->control, error);
    assert(r == 0);
    control_set_pace(bed->control, PACE);
    control_recover(bed->control, now);
    while (control_recovered(bed->control) == 0) {
        bool worked = control_turn(bed->control, now);
        (void)(control_work(bed->control) || worked);
    }
    assert(control_recovered(bed->control) == 1);
    bed->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    assert(bed->epoll_fd >= 0);
    bed->place = (struct place){.uid = geteuid(),
                                .look_gid = (gid_t)-1,
                                .admin_gid = (gid_t)-1,
                                .run_fd = listen_anywhere()}; /* only this file looks at run_fd */
    r = server_create(bed->place.run_fd, bed->epoll_fd, &bed->place, &bed->server);
    assert(r == 0);
}

static void stop(struct admin_bed *bed)
{
    for (unsigned i = 0; i < ADMIN_BED_CLIENTS; i++) {
        admin_bed_hang_up(bed, i);
    }
    admin_bed_detach(bed);
    server_destroy(bed->server);
    control_destroy(bed->control);
    close(bed->epoll_fd);
}

void admin_bed_restart(struct admin_bed *bed)
{
    stop(bed);
    start(bed);
}

void admin_bed_init(struct admin_bed *bed)
{
    static const char hold[] = "{\"v\":1,\"cmd\":\"hold\",\"select\":[\"sender=bad@held.test\"],"
                               "\"reason\":\"r\"}";
    char why[FRAME_WHY_SIZE];
    const struct control_peer peer = {.who = "first", .may_act = true};
    now = (struct control_time){.now_ns = 1000000000, .wall_ms = UINT64_C(1700000000000)};
    make_spool();
    now = (struct control_time){.now_ns = 1000000000, .wall_ms = UINT64_C(1700000600000)};
    *bed = (struct admin_bed){.state_pos = spool_state_pos + RECORD_STEP};
    for (unsigned i = 0; i < ADMIN_BED_CLIENTS; i++) {
        bed->client[i].fd = -1;
    }
    int r = sqlite3_open(":memory:", &bed->db);
    assert(r == SQLITE_OK);
    start(bed);
    json_t *request = frame_parse(bytes_str(hold), why);
    json_t *answer = control_admin(bed->control, request, &peer, now);
    json_decref(request);
    const json_t *token = json_object_get(answer, "pending");
    assert(token != NULL);
    admin_bed_rest(bed);
    json_t *ready = control_admin_ready(bed->control, (uint64_t)json_integer_value(token), now);
    assert(json_is_true(json_object_get(ready, "ok")));
    json_decref(answer);
    json_decref(ready);
}

void admin_bed_fini(struct admin_bed *bed)
{
    stop(bed);
    sqlite3_close(bed->db);
}

void admin_bed_turn(struct admin_bed *bed)
{
    struct epoll_event event[EVENTS_MAX];
    (void)control_turn(bed->control, now);
    server_turn(bed->server, bed->control);
    int count = epoll_wait(bed->epoll_fd, event, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        if (event[i].data.ptr != NULL) {
            server_event(bed->server, bed->control, &event[i]);
        }
    }
}

void admin_bed_rest(struct admin_bed *bed)
{
    int idle = 0;
    for (int i = 0; idle < 3; i++) {
        struct epoll_event event;
        assert(i < ROUNDS_MAX);
        bool worked = control_work(bed->control);
        admin_bed_turn(bed);
        worked = control_turn(bed->control, now) || worked ||
                 works_busy(control_works(bed->control)) ||
                 epoll_wait(bed->epoll_fd, &event, 1, 0) > 0;
        idle = worked ? 0 : idle + 1;
    }
}

/* --- the dataplane --------------------------------------------------------------------------- */

static void put(struct admin_bed *bed, struct abi_up up)
{
    up.number = bed->number++;
    if (ring_put(&bed->up, &up)) {
        atomic_store(&bed->region->up_count, bed->number);
    }
}

void admin_bed_attach(struct admin_bed *bed)
{
    static struct abi_attach *region;
    size_t bytes = abi_attach_size(1);
    if (region == NULL) {
        region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert(region != MAP_FAILED);
    }
    admin_bed_detach(bed);
    memset(region, 0, sizeof *region);
    abi_attach_init_rings(region, 1);
    bed->region = region;
    bed->number = 0;
    bed->flight_count = 0;
    ring_open(&bed->up, (struct ring *)((char *)region + abi_up_offset()), LIMIT_RING_UP_SLOTS);
    ring_open(&bed->down, (struct ring *)((char *)region + abi_down_offset(0)),
              LIMIT_RING_DOWN_SLOTS);
    atomic_store(&region->policy_adopted, UINT64_MAX);
    control_attach(bed->control, region, 1);
    put(bed, (struct abi_up){.type = ABI_UP_HELLO, .hello = {.start = 2, .credits = 16}});
    put(bed, (struct abi_up){.type = ABI_UP_INFLIGHT_END});
}

void admin_bed_detach(struct admin_bed *bed)
{
    if (bed->region != NULL) {
        control_detach(bed->control);
        bed->region = NULL;
    }
}

static void write_state(struct admin_bed *bed, const struct abi_down *down)
{
    struct abi_up up = {.type = ABI_UP_STATE,
                        .kind = down->kind,
                        .outcome = down->outcome,
                        .state = {.id = down->state.id,
                                  .state_pos = bed->state_pos,
                                  .rcpts = down->state.rcpts,
                                  .time_ms = now.wall_ms}};
    bed->state_pos += RECORD_STEP;
    atomic_store(&bed->region->durable_state_pos, bed->state_pos);
    put(bed, up);
}

void admin_bed_answer(struct admin_bed *bed)
{
    struct abi_down down;
    while (bed->region != NULL && ring_take(&bed->down, &down)) {
        switch ((enum abi_down_type)down.type) {
        case ABI_DOWN_FENCE:
            put(bed, (struct abi_up){.type = ABI_UP_FENCE, .fence = {.token = down.fence.token}});
            break;
        case ABI_DOWN_STATE:
            write_state(bed, &down);
            break;
        case ABI_DOWN_DELIVER:
            assert(bed->flight_count < ADMIN_BED_FLIGHTS_MAX);
            bed->flight[bed->flight_count++] = down.deliver.id;
            break;
        case ABI_DOWN_RECYCLE:
        case ABI_DOWN_STATE_RECYCLE:
            break;
        }
    }
}

void admin_bed_fail(struct admin_bed *bed)
{
    for (uint32_t i = 0; bed->region != NULL && i < bed->flight_count; i++) {
        put(bed, (struct abi_up){.type = ABI_UP_ATTEMPT,
                                 .outcome = OUTCOME_CONNECT_REFUSED,
                                 .phase = ABI_PHASE_CONNECT,
                                 .flags = ABI_FLAG_LAST,
                                 .state = {.id = bed->flight[i], .rcpts = rcptset_first(1)}});
    }
    bed->flight_count = 0;
}

/* --- clients --------------------------------------------------------------------------------- */

void admin_bed_hang_up(struct admin_bed *bed, unsigned n)
{
    struct admin_bed_client *client = &bed->client[n];
    if (client->fd >= 0) {
        close(client->fd);
    }
    free(client->got);
    *client = (struct admin_bed_client){.fd = -1};
}

void admin_bed_send(struct admin_bed *bed, unsigned n, struct bytes bytes)
{
    struct admin_bed_client *client = &bed->client[n];
    if (client->fd < 0) {
        connect_client(bed, client);
    }
    ssize_t sent = send(client->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
    if (sent < 0 || (size_t)sent < bytes.len) {
        admin_bed_hang_up(bed, n);
    }
}

static void receive(struct admin_bed_client *client)
{
    enum { PIECE = 64 * 1024 };
    ssize_t got = 1;
    while (client->fd >= 0 && got > 0) {
        client->got = mem_grow(client->got, &client->got_capacity, client->got_len + PIECE, 1);
        got = recv(client->fd, client->got + client->got_len, PIECE, 0);
        client->got_len += got > 0 ? (size_t)got : 0;
    }
}

json_t *admin_bed_hear(struct admin_bed *bed, unsigned n)
{
    struct admin_bed_client *client = &bed->client[n];
    receive(client);
    if (client->got_len < FRAME_HEADER_BYTES) {
        return NULL;
    }
    size_t whole = FRAME_HEADER_BYTES + get_be32(client->got);
    if (client->got_len < whole) {
        return NULL;
    }
    json_t *answer = json_loadb((const char *)client->got + FRAME_HEADER_BYTES,
                                whole - FRAME_HEADER_BYTES, JSON_REJECT_DUPLICATES, NULL);
    assert(json_is_object(answer)); /* what the server sends is always a frame of JSON */
    client->got_len -= whole;
    memmove(client->got, client->got + whole, client->got_len);
    return answer;
}
