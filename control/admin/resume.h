/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/resume.h: jobs of the database that go on after a restart. */
#ifndef HOLDFAST_CONTROL_ADMIN_RESUME_H
#define HOLDFAST_CONTROL_ADMIN_RESUME_H

struct control;

/* Reads them beside the loop, and starts them. */
void resume_jobs(struct control *control);

#endif
