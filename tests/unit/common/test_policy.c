/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_policy.c: snapshots: built, looked up, saved, damaged. */
#include "common/policy.h"

#include "common/config.h"
#include "common/policy_format.h"
#include "common/trouble.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] =
    "hostname=\"mx.campus.example\";"
    "interfaces=({name=\"a\";device=\"d\";address=\"198.51.100.10/24\";});"
    "listen=({address=\"198.51.100.10\";});"
    "hops=({name=\"one\";addresses=[\"198.51.100.75\"];port=2525;},"
    "      {name=\"two\";addresses=[\"198.51.100.76\",\"198.51.100.77\"];protocol=\"lmtp\";"
    "       port=24;});"
    "routes=({name=\"staff\";domains=[\"staff.example\"];hops=[\"one\"];},"
    "        {name=\"students\";domains=[\"Students.Example\"];hops=[\"two\"];"
    "         recipients=[\"Rector@staff.example\"];},"
    "        {name=\"law\";domains=[\"law.example\"];hops=[\"one\"];recipients_only=true;"
    "         recipients=[\"dean@law.example\"];});";

static struct config *make_config(void)
{
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    cr_assert_eq(config_parse("t", text, strlen(text), &config, error), 0, "%s", error);
    for (uint32_t i = 0; i < config->route_count; i++) {
        config->route[i].id = 11 + i;
    }
    config->hop[0].id = 8; /* not in order: the snapshot sorts them */
    config->hop[1].id = 5;
    return config;
}

static void *build(size_t *len)
{
    static const struct policy_grace grace[] = {
        {"gone.example"}, {"staff.example"}, {"gone.example"}};
    struct config *config = make_config();
    void *data;
    cr_assert_eq(policy_build(config, 42, grace, 3, &data, len), 0);
    config_free(config);
    return data;
}

static enum policy_verdict look(const struct policy *policy, const char *address, uint32_t *route)
{
    *route = 0;
    return policy_lookup(policy, bytes_str(address), route);
}

Test(policy, answers_for_each_kind_of_address)
{
    static const struct {
        const char *address;
        enum policy_verdict verdict;
        uint32_t route;
    } cases[] = {
        {"anyone@staff.example", POLICY_ACCEPT, 11},
        {"Anyone@STAFF.example", POLICY_ACCEPT, 11}, /* RFC 5321 section 2.4: no case */
        {"rector@staff.example", POLICY_ACCEPT, 12}, /* a listed address comes before its domain */
        {"RECTOR@Staff.Example", POLICY_ACCEPT, 12},
        {"\"rector\"@staff.example", POLICY_ACCEPT, 12}, /* section 4.1.2: the same mailbox */
        {"\"re\\ctor\"@staff.example", POLICY_ACCEPT, 12},
        {"x@students.example", POLICY_ACCEPT, 12},
        {"dean@law.example", POLICY_ACCEPT, 13},
        {"nobody@law.example", POLICY_UNKNOWN_USER, 0},
        {"postmaster@law.example", POLICY_ACCEPT, 13}, /* section 4.5.1 */
        {"PostMaster@law.example", POLICY_ACCEPT, 13},
        {"postmaster", POLICY_ACCEPT, 11}, /* section 4.1.1.3: without a domain */
        {"root", POLICY_NOT_RELAYED, 0},
        {"x@gone.example", POLICY_GRACE, 0}, /* not 550 while it may be our mistake */
        {"postmaster@gone.example", POLICY_GRACE, 0},
        {"x@other.example", POLICY_NOT_RELAYED, 0},
        {"x@sub.staff.example", POLICY_NOT_RELAYED, 0},
        {"x@staff.example.", POLICY_NOT_RELAYED, 0},
        {"x@y@staff.example", POLICY_ACCEPT, 11}, /* the last @ separates them */
        {"x@", POLICY_NOT_RELAYED, 0},
        {"@staff.example", POLICY_ACCEPT, 11}, /* the lookup does not check syntax */
        {"", POLICY_NOT_RELAYED, 0},
        {"\"", POLICY_NOT_RELAYED, 0},
        {"\"\"", POLICY_NOT_RELAYED, 0},
        {"\"\\\"@x", POLICY_NOT_RELAYED, 0},
    };
    size_t len;
    void *data = build(&len);
    const struct policy *policy = policy_verify(data, len);
    cr_assert_not_null(policy);
    cr_assert_eq(policy_generation(policy), 42);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t route;
        cr_assert_eq(look(policy, cases[i].address, &route), cases[i].verdict, "%s",
                     cases[i].address);
        cr_assert_eq(route, cases[i].route, "%s", cases[i].address);
    }
    free(data);
}

Test(policy, takes_addresses_of_any_length)
{
    size_t len;
    void *data = build(&len);
    char address[1000];
    memset(address, 'a', sizeof address);
    memcpy(address + 100, "@staff.example", 14);
    for (size_t n = 0; n <= sizeof address; n++) {
        uint32_t route;
        enum policy_verdict verdict = policy_lookup(data, bytes_of(address, n), &route);
        cr_assert_eq(verdict == POLICY_ACCEPT, n == 114);
    }
    free(data);
}

Test(policy, finds_hops_by_id)
{
    size_t len;
    void *data = build(&len);
    struct policy_hop hop;
    cr_assert(policy_find_hop(data, 5, &hop));
    cr_assert_str_eq(hop.name, "two");
    cr_assert_eq(hop.address_count, 2);
    cr_assert_eq(hop.protocol, CONFIG_PROTOCOL_LMTP);
    cr_assert(policy_find_hop(data, 8, &hop));
    cr_assert_str_eq(hop.name, "one");
    cr_assert_eq(hop.port, 2525);
    for (uint32_t id = 0; id < 20; id++) {
        cr_assert_eq(policy_find_hop(data, id, &hop), id == 5 || id == 8);
    }
    free(data);
}

/* The key is new in each build, so the bytes differ, but the content does not. */
Test(policy, content_is_equal_for_equal_configuration)
{
    size_t len;
    struct policy *a = build(&len);
    struct policy *b = build(&len);
    cr_assert(a->key.k0 != b->key.k0 || a->key.k1 != b->key.k1);
    cr_assert_eq(policy_content(a), policy_content(b));
    struct config *config = make_config();
    config->hop[0].port++;
    void *c;
    cr_assert_eq(policy_build(config, 42, NULL, 0, &c, &len), 0);
    cr_assert_neq(policy_content(a), policy_content(c));
    free(a);
    free(b);
    free(c);
    config_free(config);
}

Test(policy, refuses_any_flipped_bit)
{
    size_t len;
    uint8_t *data = build(&len);
    for (size_t i = 0; i < len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            data[i] ^= (uint8_t)(1u << bit);
            cr_assert_null(policy_verify(data, len), "byte %zu bit %u", i, bit);
            data[i] ^= (uint8_t)(1u << bit);
        }
    }
    cr_assert_not_null(policy_verify(data, len));
    free(data);
}

/* Wrong bytes with a right CRC are refused, or do no harm. ASan watches the lookups. */
Test(policy, survives_flipped_bits_with_a_right_crc)
{
    size_t len;
    struct policy *data = build(&len);
    uint8_t *bytes = (uint8_t *)data;
    size_t harmless = 0;
    for (size_t i = 0; i < len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1u << bit);
            data->crc = policy_crc(data, len);
            const struct policy *policy = policy_verify(data, len);
            if (policy != NULL) {
                uint32_t route;
                struct policy_hop hop;
                look(policy, "rector@staff.example", &route);
                look(policy, "x@gone.example", &route);
                cr_assert(!policy_find_hop(policy, 999, &hop));
                harmless++;
            }
            bytes[i] ^= (uint8_t)(1u << bit);
        }
    }
    cr_assert_gt(harmless, 0, "route ids and timeouts have no wrong value");
    cr_assert_lt(harmless, len * 8);
    free(data);
}

Test(policy, refuses_every_shortening)
{
    size_t len;
    uint8_t *data = build(&len);
    for (size_t cut = 0; cut < len; cut++) {
        cr_assert_null(policy_verify(data, cut));
    }
    cr_assert_null(policy_verify(data + 1, len - 1));
    free(data);
}

/* Ids are never reused, whatever the files say. Each of a hundred thousand names has its route. */
Test(policy, holds_a_large_table)
{
    enum { DOMAINS = 60000, RECIPIENTS = 40000 };
    struct config *config = make_config();
    struct config_route *route = &config->route[0];
    char name[64];
    route->domain = realloc(route->domain, (DOMAINS + 1) * sizeof *route->domain);
    route->recipient = realloc(route->recipient, RECIPIENTS * sizeof *route->recipient);
    cr_assert(route->domain != NULL && route->recipient != NULL);
    while (route->domain_count <= DOMAINS) {
        snprintf(name, sizeof name, "d%u.example", route->domain_count);
        route->domain[route->domain_count++] = strdup(name);
    }
    while (route->recipient_count < RECIPIENTS) {
        snprintf(name, sizeof name, "u%u@law.example", route->recipient_count);
        route->recipient[route->recipient_count++] = strdup(name);
    }
    void *data;
    size_t len;
    cr_assert_eq(policy_build(config, 1, NULL, 0, &data, &len), 0);
    for (unsigned i = 1; i <= DOMAINS; i++) {
        uint32_t id;
        snprintf(name, sizeof name, "x@D%u.example", i);
        cr_assert_eq(look(data, name, &id), POLICY_ACCEPT);
        cr_assert_eq(id, 11);
    }
    uint32_t id;
    cr_assert_eq(look(data, "u39999@law.example", &id), POLICY_ACCEPT);
    cr_assert_eq(look(data, "u40000@law.example", &id), POLICY_UNKNOWN_USER);
    free(data);
    config_free(config);
}

/* --- as a file ------------------------------------------------------------------------------- */

static char dir[] = "/tmp/holdfast-policy-XXXXXX";

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/policy.snap", dir);
    (void)unlink(path);
    cr_assert_eq(rmdir(dir), 0, "nothing else is left behind");
}

TestSuite(policy_file, .init = make_dir, .fini = remove_dir);

Test(policy_file, comes_back_and_is_replaced_whole)
{
    size_t len;
    struct policy *data = build(&len);
    const struct policy *first;
    const struct policy *second;
    void *first_data;
    void *second_data;
    size_t first_len;
    size_t second_len;
    struct trouble trouble = {0};
    cr_assert_eq(policy_load(dir, &first, &first_data, &first_len, &trouble), -ENOENT);
    char words[128];
    snprintf(words, sizeof words, "%s/policy.snap: opening the policy snapshot: No such file", dir);
    cr_assert_eq(strncmp(trouble_text(&trouble, -ENOENT), words, strlen(words)), 0);
    cr_assert_eq(policy_save(dir, data, len), 0);
    cr_assert_eq(policy_load(dir, &first, &first_data, &first_len, NULL), 0);
    data->generation = 43;
    data->crc = policy_crc(data, len);
    cr_assert_eq(policy_save(dir, data, len), 0);
    cr_assert_eq(policy_load(dir, &second, &second_data, &second_len, NULL), 0);
    cr_assert_eq(policy_generation(second), 43);
    cr_assert_eq(policy_generation(first), 42, "the old mapping is untouched");
    policy_unload(first_data, first_len);
    policy_unload(second_data, second_len);
    free(data);
}

/* Damaged is distinct from missing: the first is an alarm, the second is a first start. */
Test(policy_file, damage_is_told)
{
    char path[128];
    size_t len;
    void *data = build(&len);
    const struct policy *policy;
    void *mapped;
    size_t mapped_len;
    cr_assert_eq(policy_save(dir, data, len), 0);
    snprintf(path, sizeof path, "%s/policy.snap", dir);
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, "\xff", 1, (off_t)len - 1), 1);
    struct trouble trouble = {0};
    cr_assert_eq(policy_load(dir, &policy, &mapped, &mapped_len, &trouble), -EBADMSG);
    cr_assert_not_null(strstr(trouble_text(&trouble, -EBADMSG),
                              "policy.snap: reading the policy snapshot: damaged"));
    cr_assert_eq(ftruncate(fd, 10), 0);
    cr_assert_eq(policy_load(dir, &policy, &mapped, &mapped_len, NULL), -EBADMSG);
    cr_assert_eq(ftruncate(fd, 0), 0);
    cr_assert_eq(policy_load(dir, &policy, &mapped, &mapped_len, NULL), -EBADMSG);
    close(fd);
    free(data);
}
