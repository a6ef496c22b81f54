/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/verify.c: looks, in a lane, whether the policy database is still what it was.
 *
 *   every second: does the open file lie at its path?    every ten: read, check and write it
 *
 * Promise: when the operators' rules may be lost, status says so, nothing new is sent to next hops,
 *          and no acting command is taken, until it is good again. Mail is accepted all the time.
 * Trap:    a database that cannot be written to now, because the disk is full, still has the rules:
 *          mail goes on.
 */
#include "control/core/mem.h"
#include "control/shell/parts.h"
#include "control/shell/store.h"
#include "common/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOOK_NS (UINT64_C(1000000000))
#define ALL_NS  (10 * UINT64_C(1000000000))
/* A large one is read less often: a hundredth of the lane's time. */
enum { ALL_SHARE = 100 };

struct verify {
    struct work work;
    bool all;
    uint64_t stamp;
    uint64_t begun_ns;
    int error;
    char text[sizeof((struct verifier *)0)->why];
};

static void verify_run(struct work *work, struct work_tools *tools)
{
    struct verify *v = (struct verify *)work;
    const char *what = "looking for it";
    if (v->all) {
        v->error = store_verify(tools->store, &v->stamp, &what);
    } else if (store_has_moved(tools->store)) {
        v->error = -ESTALE;
    }
    if (v->error < 0) {
        bool damaged = v->error == -EBADMSG; /* a check that finds it is no error to SQLite */
        (void)snprintf(v->text, sizeof v->text, "policy database: %s: %s", what,
                       damaged ? trouble_meaning(v->error) : store_error(tools->store));
    }
}

static void say(struct control *c, const struct verify *v)
{
    if (strcmp(v->text, c->verifier.why) == 0) {
        return;
    }
    if (v->error == 0) {
        control_say(c, 6, "policy database: it is good again, mail is delivered");
    } else if (c->core.rules_lost) {
        control_say(c, 3, "%s; nothing is delivered until it is good again", v->text);
    } else {
        control_say(c, 3, "%s; commands that act are refused", v->text);
    }
}

static bool verify_done(struct work *work, struct control *c)
{
    struct verify *v = (struct verify *)work;
    struct verifier *verifier = &c->verifier;
    uint64_t now_ns = c->core.now.now_ns;
    assert(verifier->under_way && now_ns >= v->begun_ns);
    verifier->under_way = false;
    verifier->due_ns = now_ns + LOOK_NS;
    if (v->all) {
        uint64_t pause_ns = (now_ns - v->begun_ns) * ALL_SHARE;
        verifier->all_due_ns = now_ns + (pause_ns > ALL_NS ? pause_ns : ALL_NS);
        verifier->stamp = v->stamp;
    }
    if (v->error < 0) {
        verifier->all_due_ns = 0; /* the next look is a whole one: only that can find it good */
    }
    c->core.rules_lost = v->error < 0 && store_is_lost(v->error);
    say(c, v);
    memcpy(verifier->why, v->text, sizeof verifier->why);
    mem_free(v);
    return true;
}

static void verify_drop(struct work *work)
{
    mem_free(work);
}

void verify_turn(struct control *c)
{
    struct verifier *verifier = &c->verifier;
    uint64_t now_ns = c->core.now.now_ns;
    if (now_ns < verify_next_ns(c)) {
        return;
    }
    struct verify *v = mem_zalloc(sizeof *v);
    v->work = (struct work){
        .lane = WORK_STORE, .run = verify_run, .done = verify_done, .drop = verify_drop};
    v->all = now_ns >= verifier->all_due_ns;
    v->stamp = verifier->stamp;
    v->begun_ns = now_ns;
    verifier->under_way = true;
    works_submit(&c->works, &v->work);
}

uint64_t verify_next_ns(const struct control *c)
{
    return c->verifier.in_memory || c->verifier.under_way ? UINT64_MAX : c->verifier.due_ns;
}
