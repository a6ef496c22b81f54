/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_config.c: the configuration reader, and what is built from what it accepts.
 *
 * Input: the text of a configuration. Refused: one line that begins with the file's name. Accepted:
 * a snapshot can be built from it, and each domain in it is found there.
 */
#include "common/policy.h"

#include "common/config.h"

#include "tests/fuzz/reach.h"

#include <stdlib.h>
#include <string.h>

#define REACH_MARKS(MARK) MARK(accepted), MARK(refused), MARK(domain_found), MARK(recipient_found)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 forgets the strings it had read at a syntax error; all else that leaks is ours. */
const char *__lsan_default_suppressions(void)
{
    return "leak:strbuf_append\nleak:libconfig_yylex";
}

static void check_accepted(struct config *config)
{
    for (uint32_t i = 0; i < config->route_count; i++) {
        config->route[i].id = i + 1;
    }
    for (uint32_t i = 0; i < config->hop_count; i++) {
        config->hop[i].id = i + 1;
    }
    void *snapshot;
    size_t len;
    int r = policy_build(config, 1, NULL, 0, &snapshot, &len);
    assert(r == 0);
    for (uint32_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->route[i];
        assert(route->hop_count > 0 && route->domain_count + route->recipient_count > 0);
        for (uint32_t j = 0; j < route->recipient_count; j++) {
            uint32_t found = 0;
            enum policy_verdict verdict =
                policy_lookup(snapshot, bytes_str(route->recipient[j]), &found);
            assert(verdict == POLICY_ACCEPT && found == route->id);
            REACH(recipient_found);
        }
        for (uint32_t j = 0; j < route->domain_count; j++) {
            uint8_t address[LIMIT_ADDRESS_BYTES];
            size_t domain_len = strlen(route->domain[j]);
            address[0] = '@';
            memcpy(address + 1, route->domain[j], domain_len);
            uint32_t found = 0;
            enum policy_verdict verdict =
                policy_lookup(snapshot, bytes_of(address, domain_len + 1), &found);
            assert(route->recipients_only ? verdict == POLICY_UNKNOWN_USER
                                          : verdict == POLICY_ACCEPT && found == route->id);
            REACH(domain_found);
        }
    }
    free(snapshot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    char *text = malloc(size + 1);
    assert(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    if (config_parse("t", text, size, &config, error) == 0) {
        REACH(accepted);
        check_accepted(config);
        config_free(config);
    } else {
        REACH(refused);
        assert(strncmp(error, "t:", 2) == 0 && strchr(error, '\n') == NULL);
    }
    free(text);
    return 0;
}
