/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/relay_start.c: starts the two processes, as their main programs do. A crash at any disk
 * operation may interrupt a start; recovery must survive that, too.
 *
 * Trap: a start may fail only while the disk gives errors. Any other failure is a breach.
 */
#include "tests/sim/relay_parts.h"

#include "tests/sim/node.h"
#include "tests/sim/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const uint64_t retry_ns = 500000000;

/* --- the dataplane --------------------------------------------------------------------------- */

static bool dataplane_failed(struct relay *r, const char *what, int error)
{
    bool excused = simdisk_error_count(r->disk) > r->dataplane.errors_before;
    trace_say("dataplane: %s: %s", what, strerror(-error));
    if (!excused) {
        trace_break(BREACH_OTHER, "the dataplane does not start: %s: %s", what, strerror(-error));
    }
    if (r->dataplane.io != NULL) {
        simdisk_process_kill(r->dataplane.io, false);
    }
    r->dataplane.io = NULL;
    r->dataplane.start_ns = trace.now_ns + retry_ns;
    return true;
}

/* Some runs begin near the end of their start number, and go on with the next. */
static uint64_t ids_before(struct relay *r)
{
    uint64_t left = 2 + rng_u64(&r->keys) % 40;
    return left % 4 == 0 ? (UINT64_C(1) << ID_COUNTER_BITS) - left : 0;
}

static int make_worker(struct relay *r)
{
    struct writer_settings writer = {
        .spool = r->dataplane.spool, .worker_count = 1, .counters = &r->dataplane.writer_counters};
    int error = writer_create(&writer, &r->dataplane.writer);
    if (error < 0) {
        return error;
    }
    uint8_t mac[NIC_MAC_BYTES];
    node_mac(CAMPUS_RELAY_OCTET, mac);
    r->dataplane.nic = wire_plug(r->wire, mac, r->campus->mtu);
    r->dataplane.config = campus_config(r->campus, 0);
    struct worker_settings worker = {
        .config = r->dataplane.config,
        .ids = {.start = spool_writer_start(r->dataplane.spool), .counter = ids_before(r)},
        .nic = r->dataplane.nic,
        .writer = r->dataplane.writer,
        .counters = &r->dataplane.worker_counters,
        .key = {.k0 = rng_u64(&r->keys), .k1 = rng_u64(&r->keys)},
        .buffer_mib = r->campus->buffer_mib,
    };
    return worker_create(&worker, &r->dataplane.worker);
}

bool relay_start_dataplane(struct relay *r)
{
    r->dataplane.errors_before = simdisk_error_count(r->disk);
    r->dataplane.io = simdisk_process_begin(r->disk, "dataplane");
    trace_event(0x41, 0, 0);
    int error = spool_writer_open(r->dataplane.io, &r->campus->spool, &r->dataplane.spool);
    if (error < 0) {
        return dataplane_failed(r, "spool", error);
    }
    error = relay_record_fault(r);
    if (error < 0) {
        return dataplane_failed(r, "fault record", error);
    }
    error = make_worker(r);
    if (error < 0) {
        return dataplane_failed(r, "worker", error);
    }
    worker_set_policy(r->dataplane.worker, r->policy);
    r->dataplane.up = true;
    trace_say("dataplane: up, start %u", spool_writer_start(r->dataplane.spool));
    return true;
}

/* --- control --------------------------------------------------------------------------------- */

static bool control_failed(struct relay *r, const char *what, int error)
{
    bool excused = simdisk_error_count(r->disk) > r->control.errors_before;
    trace_say("control: %s: %s", what, strerror(-error));
    if (!excused) {
        trace_break(BREACH_OTHER, "control does not start: %s: %s", what, strerror(-error));
    }
    simdisk_process_kill(r->control.io, false);
    r->control.io = NULL;
    r->control.control = NULL;
    r->control.start_ns = trace.now_ns + retry_ns;
    return true;
}

static void say_event(void *ctx, int level, const char *line)
{
    (void)ctx;
    trace_say("control <%d> %s", level, line);
}

bool relay_start_control(struct relay *r)
{
    char error_text[CONFIG_ERROR_SIZE] = "";
    r->control.errors_before = simdisk_error_count(r->disk);
    r->control.io = simdisk_process_begin(r->disk, "control");
    r->control.config = campus_config(r->campus, r->removed);
    trace_event(0x42, 0, 0);
    int error = control_create(r->control.config, r->db, r->control.io, relay_time(r),
                               &r->control.control, error_text);
    if (error < 0) {
        return control_failed(r, error_text, error);
    }
    control_on_event(r->control.control, say_event, NULL);
    control_set_pace(r->control.control, (uint32_t)rng_spread(&r->rng, 1, 4096));
    control_recover(r->control.control, relay_time(r));
    while ((error = control_recovered(r->control.control)) == 0) {
        bool worked = control_turn(r->control.control, relay_time(r));
        (void)(control_work(r->control.control) || worked);
    }
    error = error > 0 ? 0 : error;
    if (error < 0) {
        return control_failed(r, "recovery", error);
    }
    r->control.up = true;
    r->control.start_count++;
    r->control.dataplane_gone = false;
    trace_say("control: up");
    return true;
}
