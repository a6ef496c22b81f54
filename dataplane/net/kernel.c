/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/kernel.c: see kernel.h. */
#include "dataplane/net/kernel.h"

#include "common/config.h"
#include "common/trouble.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool is_of_kernel(const struct sockaddr *kernel, const struct ip_addr *addr)
{
    struct ip_addr its = {{0}};
    if (kernel->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, kernel, sizeof in);
        uint8_t octet[4];
        memcpy(octet, &in.sin_addr, sizeof octet);
        its = ip_from_v4(octet);
    } else if (kernel->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, kernel, sizeof in6);
        memcpy(its.octet, &in6.sin6_addr, sizeof its.octet);
    } else {
        return false;
    }
    return ip_equal(&its, addr);
}

int kernel_address_check(const struct config_interface *interface, const char *iface,
                         char error_out[CONFIG_ERROR_SIZE])
{
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0) {
        int r = -errno;
        snprintf(error_out, CONFIG_ERROR_SIZE,
                 "interface \"%s\": reading the kernel's addresses: %s", interface->name,
                 trouble_meaning(r));
        return r;
    }
    int r = 0;
    for (const struct ifaddrs *at = list; at != NULL && r == 0; at = at->ifa_next) {
        if (at->ifa_addr != NULL && strcmp(at->ifa_name, iface) == 0 &&
            is_of_kernel(at->ifa_addr, &interface->addr)) {
            char text[IP_TEXT_SIZE];
            snprintf(error_out, CONFIG_ERROR_SIZE,
                     "interface \"%s\": %s is in use by the kernel, which would answer with RST: "
                     "take it from \"%s\" (ip addr del)",
                     interface->name, ip_format(&interface->addr, text), iface);
            r = -EADDRINUSE;
        }
    }
    freeifaddrs(list);
    return r;
}

/* Takes the interface by an abstract socket: its name belongs to this network namespace, as the
 * interface's does, and it vanishes when the process ends, however that happens. */
int kernel_interface_take(const struct config_interface *interface, const char *iface,
                          char error_out[CONFIG_ERROR_SIZE])
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int len = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "holdfast-dataplane/%.*s",
                       IFNAMSIZ, iface);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&name, size) == 0) {
        return 0; /* the socket stays open until the process ends, and the interface is taken */
    }
    int r = -errno;
    if (r == -EADDRINUSE) {
        snprintf(error_out, CONFIG_ERROR_SIZE,
                 "interface \"%s\": \"%s\" is in use by another holdfast-dataplane",
                 interface->name, iface);
    } else {
        snprintf(error_out, CONFIG_ERROR_SIZE, "interface \"%s\": taking \"%s\": %s",
                 interface->name, iface, trouble_meaning(r));
    }
    if (fd >= 0) {
        close(fd);
    }
    return r;
}
