/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/parts.h: the parts around the core, which read, save, publish and answer. Each has
 * its own header, or a section here. control/control.c joins them. */
#ifndef HOLDFAST_CONTROL_SHELL_PARTS_H
#define HOLDFAST_CONTROL_SHELL_PARTS_H

#include "control/control.h"

#define PROGRESS_CHECKPOINT "checkpoint"

/* How far the reading of the spool at a start has come. */
struct progress {
    const char *reading; /* PROGRESS_CHECKPOINT, "message log", "state log" */
    uint64_t at;         /* percent of the checkpoint; the number of the segment; 0: none yet */
    uint64_t of;         /* 100; the number of segments */
};

enum { PROGRESS_TEXT_SIZE = 160 };

struct catchup {
    bool under_way;
    int recovered; /* see control_recovered */
    struct progress progress;
    char why[320]; /* why it cannot recover */
    uint64_t ticket;
    bool listing; /* the list of segments is being read */
    uint64_t relist_ns;
};

struct saver {
    bool under_way;
    bool wanted; /* write one now, whatever the clock says */
    bool ending; /* the process waits for its last checkpoint */
    uint64_t due_ns;
    uint64_t tried_ns;                      /* when the last one was begun */
    uint64_t state_pos;                     /* of the newest checkpoint */
    uint64_t older_state_pos;               /* of the one before it */
    bool taking;                            /* some pieces of the image are still to be sent */
    uint64_t piece_count;                   /* sent of this image */
    uint32_t pieces_under_way;              /* handed to the lane, not yet written */
    struct spool_checkpoint_writer *writer; /* belongs to the lane */
    int error;                              /* of the last one, 0: it was saved */
};

struct publisher {
    void *data; /* the snapshot in force */
    size_t len;
    bool under_way;
    uint64_t republish_ns;
    uint64_t told_ns;  /* when to say that it is not adopted; 0: it is */
    char refused[240]; /* why the last reload was refused; empty: it was not */
};

struct verifier {
    bool in_memory; /* the database has no file that could be lost */
    bool under_way;
    uint64_t due_ns;
    uint64_t all_due_ns; /* when to read and write it, not just to look for it */
    uint64_t stamp;      /* what was written last; 0: nothing yet */
    char why[240];       /* what is wrong with it; empty: nothing */
};

struct judging {
    uint32_t under_way; /* batches in the lane */
    uint64_t again_ns;  /* not before */
};

struct control {
    struct core core;
    struct config *config;
    struct store *store;
    struct works works;
    struct catchup catchup;
    struct saver saver;
    struct publisher publisher;
    struct verifier verifier;
    struct judging judging;
    struct list jobs; /* admin/job.h */
    struct {
        size_t count;
        uint32_t first_id;
    } bad_jobs; /* rows of the database that do not say what to release */
    uint64_t job_token;
    uint32_t pace; /* see control_set_pace */
    uint64_t flush_ns;
    bool flushing;
    uint64_t heartbeat_age_ms; /* of the dataplane; the shell sets it */
    control_event_fn event;
    void *event_ctx;
};

/* One line for the operator's log. level: 3 error, 4 warning, 6 information (syslog's numbers). */
__attribute__((format(printf, 3, 4))) void control_say(struct control *control, int level,
                                                       const char *format, ...);

/* catchup.c */
void catchup_recover(struct control *control);
/* Starts what the core wishes for. Returns true when something was started. */
bool catchup_turn(struct control *control);

/* progress.c. progress_note: a part of the spool was read; it counts only until control has
 * recovered. progress_text: "reading the spool: 5000 deliveries so far, message log, segment 3 of
 * 17". */
void progress_note(struct control *control, const char *reading, uint64_t at, uint64_t of);
const char *progress_text(const struct control *control, char out[PROGRESS_TEXT_SIZE]);

/* save.c */
bool save_turn(struct control *control);
uint64_t save_next_ns(const struct control *control);

/* publish.c: ids, domains, the policy snapshot. publish_first runs at the start, in the loop: 0, or
 * -errno and a line. */
must_check int publish_first(struct control *control, char error_out[CONFIG_ERROR_SIZE]);
void publish_reload(struct control *control, const struct control_reload *reload);
void publish_turn(struct control *control);
uint64_t publish_next_ns(const struct control *control);

/* verify.c: is the policy database still there? */
void verify_turn(struct control *control);
uint64_t verify_next_ns(const struct control *control);

/* judge.c: envelopes for the rules. */
bool judge_turn(struct control *control);
uint64_t judge_next_ns(const struct control *control);

#endif
