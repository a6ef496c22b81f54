/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/shell.h: the thin shell around the core: log, admin socket, link to the dataplane.
 * */
#ifndef HOLDFAST_CONTROL_SHELL_SHELL_H
#define HOLDFAST_CONTROL_SHELL_SHELL_H

#include "common/place.h"
#include "control/control.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* Writes one line to standard error, with the <level> prefix that the journal reads. At most some
 * dozens in a second; the rest is counted. */
__attribute__((format(printf, 2, 3))) void log_line(int level, const char *format, ...);
/* For control_on_event. */
void log_event(void *ctx, int level, const char *line);

uint64_t shell_now_ns(void);
struct control_time shell_time(void);

struct server;
/* Serves clients that connect to `listen_fd` (listen.h), which belongs to the server from now on,
 * and adds it to `epoll_fd`. `place` is borrowed: it knows the groups (peer.h). 0 or -errno; after
 * an error the socket is closed, too. */
must_check int server_create(int listen_fd, int epoll_fd, const struct place *place,
                             struct server **server_out);
void server_destroy(struct server *server);
/* An epoll event whose data.ptr is not NULL is the server's. */
void server_event(struct server *server, struct control *control, const struct epoll_event *event);
/* Sends answers that were pending. */
void server_turn(struct server *server, struct control *control);
/* True while some answer is pending: do not sleep long. */
bool server_is_waiting(const struct server *server);

struct link;
/* The dataplane's attach socket is in the run_dir of `place`. */
struct link *link_create(const struct place *place);
void link_destroy(struct link *link);
/* Looks for the dataplane, attaches, notices its end. Call it at least every LINK_LOOK_NS, and
 * every LINK_SEEK_NS while there is no dataplane. */
void link_turn(struct link *link, struct control *control, uint64_t now_ns);
/* The region in use, NULL when detached. */
struct abi_attach *link_region(struct link *link);

struct threads;
/* A thread for each lane of control's, each with a disk of its own. 0 or -errno; *threads_out is to
 * be destroyed in both cases. */
must_check int threads_create(struct control *control, const char *spool_dir, const char *db_path,
                              struct threads **threads_out);
void threads_destroy(struct threads *threads);
/* The calling thread, which will run the loop, goes before the lanes that are made later. Without
 * the right to it (CAP_SYS_NICE), only the lanes step back. */
void threads_favour_loop(void);
/* Keeps the calling thread, and the threads that it makes from now on, off the CPU of the
 * dataplane's worker, which is the worker's alone. Does nothing where there is no other CPU. */
void threads_leave_cpu(uint32_t cpu);
/* Readable when a lane has finished something; drained by threads_drain. */
int threads_wake_fd(const struct threads *threads);
void threads_drain(const struct threads *threads);

#define LINK_LOOK_NS (UINT64_C(200) * 1000000)
/* Without a dataplane all mail waits: look more often. */
#define LINK_SEEK_NS (UINT64_C(20) * 1000000)

#endif
