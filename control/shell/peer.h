/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/peer.h: who is at the other end of the admin socket, and what that one may do.
 *
 *   root, the relay's own user     act
 *   control.admin_group            act
 *   control.look_group             look
 *   anybody else                   act when there is no look_group: the socket's mode let them in;
 *                                  else nothing
 *
 * Promise: what a peer may do follows from what the kernel says (SO_PEERCRED, SO_PEERGROUPS), never
 *          from a name.
 * Trap:    a name is looked up in the user database, which may ask the network: in a lane. */
#ifndef HOLDFAST_CONTROL_SHELL_PEER_H
#define HOLDFAST_CONTROL_SHELL_PEER_H

#include "common/place.h"

#include <stdbool.h>
#include <sys/types.h>

enum { PEER_WHO_SIZE = 128 };

struct peer {
    uid_t uid;
    pid_t pid;
    bool may_look;
    bool may_act;
};

/* Fills in who is at the other end. false: the kernel does not say who it is. */
must_check bool peer_judge(int fd, const struct place *place, struct peer *out);
/* Call it in a lane. Writes the peer's name, and the name that it logged in by, where the kernel
 * knows another one. */
void peer_name(const struct peer *peer, char who[PEER_WHO_SIZE]);
/* Adds the name on whose behalf root acts: "root (sudo alice)". A name with other characters than
 * those of a user name is left out. */
void peer_add_sudo(const struct peer *peer, const char *sudo_user, char who[PEER_WHO_SIZE]);

#endif
