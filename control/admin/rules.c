/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/rules.c: the rules in force, and the audit. */
#include "control/admin/admin.h"
#include "control/admin/select_json.h"
#include "control/shell/store.h"
#include "common/limits/admin.h"

enum { AUDIT_LIMIT_DEFAULT = 50 };

static json_t *one_rule(const struct rule *rule)
{
    json_t *o = json_object();
    admin_set_number(o, "id", rule->id);
    admin_set_text(o, "kind", bytes_str("hold"));
    json_object_set_new(o, "select", select_json(&rule->select));
    admin_set_text(o, "author", bytes_str(rule->author));
    admin_set_words(o, "reason", rule->reason);
    admin_set_number(o, "created_ms", rule->created_ms);
    admin_set_number(o, "review_ms", rule->review_ms);
    admin_set_number(o, "matches", rule->matches);
    if (rule->unreadable) {
        json_object_set_new(o, "unreadable", json_true());
    }
    return o;
}

json_t *admin_rules(struct control *c, struct admin_request *request)
{
    const json_t *remove = json_object_get(request->json, "remove");
    if (remove != NULL) {
        json_int_t id = json_integer_value(remove);
        if (id <= 0 || id >= RULES_PLANNED) {
            return admin_error(ADMIN_EXIT_USAGE, "remove: which rule?");
        }
        if (!request->dry_run && request->reason[0] == '\0') {
            return admin_error(ADMIN_EXIT_USAGE, "say why: a reason is required");
        }
        return admin_end_rule(c, request, (uint32_t)id);
    }
    json_t *list = json_array();
    for (size_t i = 0; i < c->core.rules.count; i++) {
        if (c->core.rules.rule[i]->in_force) {
            json_array_append_new(list, one_rule(c->core.rules.rule[i]));
        }
    }
    json_t *o = admin_ok();
    json_object_set_new(o, "rules", list);
    return o;
}

/* --- audit ----------------------------------------------------------------------------------- */

struct audit_job {
    struct job job;
    struct work work;
    uint32_t limit;
    json_t *made;
};

static struct audit_job *of_work(struct work *work)
{
    return (struct audit_job *)((char *)work - offsetof(struct audit_job, work));
}

static void audit_run(struct work *work, struct work_tools *tools)
{
    struct audit_job *j = of_work(work);
    json_t *entries = json_array();
    if (store_audit_list(tools->store, j->limit, entries) < 0) {
        json_decref(entries);
        j->made =
            admin_error(ADMIN_EXIT_CRITICAL, "policy database: %s", store_error(tools->store));
        return;
    }
    j->made = admin_ok();
    json_object_set_new(j->made, "entries", entries);
}

static bool audit_done(struct work *work, struct control *c)
{
    struct audit_job *j = of_work(work);
    (void)c;
    j->job.under_way = false;
    j->job.answer = j->made;
    j->made = NULL;
    return true;
}

static bool audit_step(struct job *job, struct control *c)
{
    struct audit_job *j = (struct audit_job *)job;
    j->work = (struct work){.lane = WORK_STORE, .run = audit_run, .done = audit_done};
    job_submit(job, c, &j->work);
    return true;
}

json_t *admin_audit(struct control *c, struct admin_request *request)
{
    const json_t *limit_value = json_object_get(request->json, "limit");
    json_int_t limit = limit_value == NULL ? AUDIT_LIMIT_DEFAULT : json_integer_value(limit_value);
    if (limit < 1 || limit > LIMIT_ADMIN_AUDIT) {
        return admin_error(ADMIN_EXIT_USAGE, "limit: 1 to %d", LIMIT_ADMIN_AUDIT);
    }
    struct audit_job *j = job_create(c, sizeof *j, request, audit_step);
    j->job.looks = true;
    j->limit = (uint32_t)limit;
    return NULL;
}
