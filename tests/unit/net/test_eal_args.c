/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/net/test_eal_args.c: configuration to EAL arguments, and what is refused before. */
#include "dataplane/net/eal_args.h"

#include "common/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static void set(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

static struct config *base(const char *device)
{
    static struct config config;
    config_defaults(&config);
    set(config.instance, sizeof config.instance, "test");
    config.dataplane.lcore = 3;
    config.dataplane.service_cpu = 2;
    config.dataplane.hugepages = true;
    config.dataplane.memory_mib = 256;
    config.interface_count = 1;
    set(config.interface[0].name, sizeof config.interface[0].name, "outside");
    set(config.interface[0].device, CONFIG_TEXT_SIZE, device);
    return &config;
}

static bool has(const struct eal_args *args, const char *text)
{
    for (int i = 0; i < args->argc; i++) {
        if (strcmp(args->argv[i], text) == 0) {
            return true;
        }
    }
    return false;
}

Test(eal_args, hugepages_leave_no_files)
{
    static struct eal_args args;
    cr_assert_eq(eal_args_build(base("net_tap0,iface=x"), &args), 0);
    cr_assert(has(&args, "--in-memory"));
    cr_assert(has(&args, "--lcores=0@2,1@3") && has(&args, "--main-lcore=0"));
    cr_assert(has(&args, "-m") && has(&args, "256"));
    cr_assert(has(&args, "--vdev=net_tap0,iface=x"));
    cr_assert(has(&args, "--no-pci") && has(&args, "--no-telemetry"));
    cr_assert(has(&args, "--file-prefix=holdfast-test"));
    cr_assert_null(args.argv[args.argc], "argv ends with NULL");
}

Test(eal_args, memif_keeps_the_channel_between_processes)
{
    static struct eal_args args;
    struct config *config = base("net_memif0,role=server");
    cr_assert_eq(eal_args_build(config, &args), 0);
    cr_assert(has(&args, "--huge-unlink=always"));
    cr_assert_not(has(&args, "--in-memory"));
    config->dataplane.hugepages = false;
    cr_assert_eq(eal_args_build(config, &args), 0);
    cr_assert(has(&args, "--no-huge") && !has(&args, "--no-shconf"));
}

Test(eal_args, without_hugepages)
{
    static struct eal_args args;
    struct config *config = base("net_tap0");
    config->dataplane.hugepages = false;
    cr_assert_eq(eal_args_build(config, &args), 0);
    cr_assert(has(&args, "--no-huge") && has(&args, "--no-shconf"));
    cr_assert(has(&args, "--iova-mode=va") && !has(&args, "--in-memory"));
}

Test(eal_args, af_packet_gets_a_large_ring_unless_told)
{
    static struct eal_args args;
    cr_assert_eq(eal_args_build(base("net_af_packet0,iface=x"), &args), 0);
    cr_assert(has(&args, "--vdev=net_af_packet0,iface=x,blocksz=65536,framesz=2048,framecnt=4096,"
                         "qdisc_bypass=1"));
    cr_assert_eq(eal_args_build(base("net_af_packet0,qdisc_bypass=0,iface=x,framecnt=64"), &args),
                 0);
    cr_assert(has(&args, "--vdev=net_af_packet0,qdisc_bypass=0,iface=x,framecnt=64,blocksz=65536,"
                         "framesz=2048"));
}

Test(eal_args, pci_devices_and_extra_arguments)
{
    static struct eal_args args;
    struct config *config = base("0000:03:00.0,x=1");
    char *extra[] = {"--legacy-mem", "-v"};
    config->dataplane.eal_arg_count = 2;
    config->dataplane.eal_arg = extra;
    config->interface_count = 2; /* two interfaces with one device: it is named once */
    config->interface[1] = config->interface[0];
    cr_assert_eq(eal_args_build(config, &args), 0);
    cr_assert(has(&args, "-a") && has(&args, "0000:03:00.0,x=1"));
    cr_assert_not(has(&args, "--no-pci"));
    cr_assert_str_eq(args.argv[args.argc - 3], "0000:03:00.0,x=1");
    cr_assert_str_eq(args.argv[args.argc - 2], "--legacy-mem");
    cr_assert_str_eq(args.argv[args.argc - 1], "-v", "last, so that they win");
}

Test(eal_args, too_much_is_refused)
{
    static struct eal_args args;
    struct config *config = base("net_tap0");
    char *extra[EAL_ARG_COUNT];
    for (size_t i = 0; i < EAL_ARG_COUNT; i++) {
        extra[i] = "-v";
    }
    config->dataplane.eal_arg = extra;
    config->dataplane.eal_arg_count = EAL_ARG_COUNT;
    cr_assert_eq(eal_args_build(config, &args), -E2BIG);
    char lengthy[EAL_ARG_SIZE + 1];
    memset(lengthy, 'x', EAL_ARG_SIZE);
    lengthy[EAL_ARG_SIZE] = '\0';
    extra[0] = lengthy;
    config->dataplane.eal_arg_count = 1;
    cr_assert_eq(eal_args_build(config, &args), -E2BIG);
}

Test(eal_args, device_names)
{
    char name[EAL_DEVICE_NAME_SIZE];
    cr_assert(eal_device_name("net_tap0,iface=x", name));
    cr_assert_str_eq(name, "net_tap0");
    cr_assert(eal_device_name("03:00.0", name));
    cr_assert_str_eq(name, "0000:03:00.0");
    cr_assert(eal_device_name("0001:03:00.0,a=b", name));
    cr_assert_str_eq(name, "0001:03:00.0");
    cr_assert_not(eal_device_name("", name));
    cr_assert_not(eal_device_name(",iface=x", name));
    char lengthy[100];
    memset(lengthy, 'n', 99);
    lengthy[99] = '\0';
    cr_assert_not(eal_device_name(lengthy, name));
    char value[8];
    cr_assert(eal_device_value("net_x,iface=eth7,xiface=no", "iface", value, sizeof value));
    cr_assert_str_eq(value, "eth7");
    cr_assert_not(eal_device_value("net_x,iface=eth7", "face", value, sizeof value));
    cr_assert_not(eal_device_value("net_x,iface=longer-than-8", "iface", value, sizeof value));
    cr_assert_not(eal_device_value("iface=eth7", "iface", value, sizeof value));
}

static void expect_refusal(const struct config *config, const char *words)
{
    char error[CONFIG_ERROR_SIZE] = "";
    cr_assert_eq(eal_args_check(config, error), -EINVAL);
    cr_assert_not_null(strstr(error, words), "\"%s\" says \"%s\"", error, words);
    cr_assert_null(strchr(error, '\n'), "one line");
}

Test(eal_args, impossible_configurations_get_a_line)
{
    struct config *config = base("net_tap0");
    config->dataplane.lcore = CPU_SETSIZE;
    expect_refusal(config, "dataplane.lcore");
    cpu_set_t allowed;
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    uint32_t cpu = 0;
    while (!CPU_ISSET(cpu, &allowed)) {
        cpu++;
    }
    config->dataplane.lcore = cpu;
    config->dataplane.service_cpu = UINT32_MAX;
    expect_refusal(config, "dataplane.service_cpu");
    config->dataplane.service_cpu = cpu;
    char error[CONFIG_ERROR_SIZE];
    cr_assert_eq(eal_args_check(config, error), 0, "both on one CPU is allowed");
    config->dataplane.memory_mib = 8;
    expect_refusal(config, "dataplane.memory = 8 MiB is too small");
    config->dataplane.memory_mib = 128;
    set(config->interface[0].device, CONFIG_TEXT_SIZE, "net_af_packet0,iface=hf-no-such");
    expect_refusal(config, "no network interface \"hf-no-such\"");
    set(config->interface[0].device, CONFIG_TEXT_SIZE, "net_af_packet0");
    expect_refusal(config, "lacks");
    set(config->interface[0].device, CONFIG_TEXT_SIZE, "eth0");
    expect_refusal(config, "neither a PCI address");
    set(config->interface[0].device, CONFIG_TEXT_SIZE, "ffff:ff:1f.7");
    expect_refusal(config, "no PCI device");
    config->interface_count = 0;
    expect_refusal(config, "no interfaces");
}
