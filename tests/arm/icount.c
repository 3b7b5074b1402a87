/* A QEMU plugin that counts the instructions which an emulated program executes (QEMU 7.2, plugin interface 1).
 *
 * The program marks a point with getpriority(MAGIC, number): no such `which` exists, so the call fails and changes nothing.
 * Each mark appends the line "number count" to the file that the plugin's argument `out` names. One thread only: the counter
 * has no lock. Debian 12 has no header for plugins, so what is used of the interface is declared here; emulation.py compiles. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MAGIC 0x45444745 /* "EDGE" */
#define GETPRIORITY_AARCH64 141
#define GETPRIORITY_ARM 96

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_info {
    const char *target;
    /* more follows that is not looked at */
};

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int operation, void *counter, uint64_t step);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                              uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

int qemu_plugin_version = 1;

enum { ADD_TO_COUNTER = 0 };
static uint64_t executed;
static int64_t getpriority_number;
static FILE *out;

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_TO_COUNTER, &executed, qemu_plugin_tb_n_insns(block));
}

static void system_call(plugin_id id, unsigned cpu, int64_t number, uint64_t which, uint64_t mark, uint64_t c, uint64_t d,
                        uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)cpu, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != getpriority_number || (uint32_t)which != MAGIC) return;
    fprintf(out, "%u %llu\n", (unsigned)mark, (unsigned long long)executed);
    fflush(out);
}

int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv) {
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "out=", 4) == 0) out = fopen(argv[i] + 4, "a");
    if (out == NULL) {
        fprintf(stderr, "icount: out=FILE is missing or cannot be written\n");
        return -1;
    }
    getpriority_number = strcmp(info->target, "arm") == 0 ? GETPRIORITY_ARM : GETPRIORITY_AARCH64;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, system_call);
    return 0;
}
