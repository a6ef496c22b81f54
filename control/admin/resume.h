/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/resume.h: starts the jobs that the database keeps over a restart. */
#ifndef HOLDFAST_CONTROL_ADMIN_RESUME_H
#define HOLDFAST_CONTROL_ADMIN_RESUME_H

struct control;

/* Reads the jobs in a lane, then starts them. */
void resume_jobs(struct control *control);

#endif
