/*
 * rkt-plugin.h: the contract `rkt:plugin` for plugins in native code.
 *
 * A plugin decides how a pod is isolated. rkt calls it once, with the pod and an empty plan; it reads
 * the pod, speaks words to the plan, and returns. Nothing has happened by then: rkt checks every word
 * against what the plugin was granted and what the pod asks for, shows it on request, and enacts it.
 * What each word means and which permission it needs stands in plans.wit, pods.wit, places.wit,
 * arguments.wit and facts.wit beside this file; the functions here are those, in the same order, `jail.read-only`
 * being `jail_read_only` and `places.volume` being `places_volume`.
 *
 * A plugin is a shared library (ELF, for the host's processor) that exports two things:
 *
 *     #include "rkt-plugin.h"
 *
 *     RKT_PERMISSIONS("share:network\n" "root\n" "user\n");
 *
 *     static int plan(const rkt_host *host, const rkt_pod *pod, rkt_plan *plan, rkt_problem *problem)
 *     {
 *         rkt_apps apps = host->pod_apps(pod);
 *         host->plan_share(plan, RKT_TEXT("network"));
 *         for (size_t i = 0; i < apps.count; i++) {
 *             rkt_jail *app = host->plan_app(plan, host->app_name(apps.items[i]));
 *             rkt_credentials user = host->app_user(apps.items[i]);
 *             host->jail_root(app, host->app_root_access(apps.items[i]));
 *             host->jail_user(app, &user);
 *         }
 *         return RKT_PLANNED;
 *     }
 *
 *     RKT_STAGE1(plan);
 *
 *     $ cc -shared -fPIC -o libacme.so acme.c
 *     $ rkt plan --stage1=./libacme.so IMAGE
 *
 * WHERE IT RUNS. In a process of its own that gave up everything before the library was loaded, so
 * constructors run there too: no user, no capability, no network, no file but for reading the system's
 * libraries, no other process, no thread, no signal handler; 512 MiB of address space and 10 seconds.
 * A system call that a computation does not need ends the process, and so does leaving `plan` in any
 * way but by returning. A native plugin is run only where a policy file names its very digest and says
 * `trust = "native"`, since all of this is a weaker wall than WebAssembly's. Without a need for native
 * code, make a component.
 *
 * MEMORY. No allocation crosses. What the host gives stays as it is until `plan` returns; the host
 * copies what it is given before a function returns, and a problem right after `plan` does.
 *
 * TEXT is UTF-8 with a length; no NUL is needed at its end, and none is allowed in it. A text whose
 * data is NULL is no text at all: that is how an optional text is absent. Any other optional value is
 * a pointer, NULL where there is none.
 *
 * HANDLES (rkt_pod, rkt_app, rkt_place, rkt_piece, rkt_plan, rkt_program, rkt_jail) are the host's, are never freed, and
 * are good until `plan` returns.
 *
 * MISTAKES. A word that is malformed or not granted is written down like any other and refused later,
 * by name. A value that is none (text that is not UTF-8, an unknown enumerator, a handle that was never
 * given) and a broken limit end the process at once with an error that says so. The limits are those
 * of README.md that are about a plan: 4096 words, 64 KiB a text or list, 1 MiB of texts, 256 questions.
 *
 * VERSIONS. Each table begins with its size. From the first release on fields are only appended, in
 * both directions: use RKT_HAS before a function that came later than your oldest host, and leave the
 * rest to rkt. Structures without a size are closed for good. Until that release this is a draft, and
 * fields may still move.
 */
#ifndef RKT_PLUGIN_H
#define RKT_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the contract that this header is of. */
#define RKT_CONTRACT { 0, 1, 0 }

/* ---- Values ---- */

/* A text, or none where data is NULL. */
typedef struct rkt_text {
    const char *data;
    size_t length;
} rkt_text;

/* A text from a literal, as a value. */
#ifdef __cplusplus
#define RKT_TEXT(literal) (rkt_text{literal, sizeof(literal) - 1})
#else
#define RKT_TEXT(literal) ((rkt_text){literal, sizeof(literal) - 1})
#endif

typedef struct rkt_texts {
    const rkt_text *items;
    size_t count;
} rkt_texts;

typedef struct rkt_numbers {
    const uint32_t *items;
    size_t count;
} rkt_numbers;

/* pods.access */
typedef uint32_t rkt_access;
#define RKT_READ_WRITE ((rkt_access)0)
#define RKT_READ_ONLY ((rkt_access)1)

/* plans.reach: whether a bind takes what is mounted below its source along. */
typedef uint32_t rkt_reach;
#define RKT_SINGLE ((rkt_reach)0)
#define RKT_RECURSIVE ((rkt_reach)1)

/* What a list of names is for, in pods.capability-change and pods.seccomp-filter. */
typedef uint32_t rkt_mode;
#define RKT_RETAIN ((rkt_mode)0)
#define RKT_REMOVE ((rkt_mode)1)

/* pods.credentials */
typedef struct rkt_credentials {
    uint32_t uid;
    uint32_t gid;
    rkt_numbers groups; /* without gid */
} rkt_credentials;

/* pods.volume-mount */
typedef struct rkt_volume_mount {
    rkt_text volume;
    rkt_text target;
    rkt_access access;
} rkt_volume_mount;

typedef struct rkt_volume_mounts {
    const rkt_volume_mount *items;
    size_t count;
} rkt_volume_mounts;

/* A value of --stage1-option=NAME=VALUE. */
typedef struct rkt_setting {
    rkt_text name;
    rkt_text value;
} rkt_setting;

typedef struct rkt_settings {
    const rkt_setting *items;
    size_t count;
} rkt_settings;

/* A limit, by the names that jail_limit takes, in its units. */
typedef struct rkt_limit {
    rkt_text what;
    uint64_t value;
} rkt_limit;

typedef struct rkt_limits {
    const rkt_limit *items;
    size_t count;
} rkt_limits;

/* pods.capability-change */
typedef struct rkt_capability_change {
    rkt_mode mode;
    rkt_texts names;
} rkt_capability_change;

/* pods.seccomp-filter */
typedef struct rkt_seccomp_filter {
    rkt_mode mode;
    rkt_texts calls;
    rkt_text errno_name; /* what a refused call answers; none: the host's default */
} rkt_seccomp_filter;

/* problems.problem: why a pod cannot be run, for the user to read. */
typedef struct rkt_problem {
    rkt_text message;
    rkt_text hint; /* or none */
} rkt_problem;

/* ---- Handles ---- */

typedef struct rkt_pod rkt_pod;
typedef struct rkt_app rkt_app;
typedef struct rkt_place rkt_place;
typedef struct rkt_piece rkt_piece;
typedef struct rkt_plan rkt_plan;
typedef struct rkt_program rkt_program;
typedef struct rkt_jail rkt_jail;

typedef struct rkt_pieces {
    const rkt_piece *const *items;
    size_t count;
} rkt_pieces;

typedef struct rkt_apps {
    const rkt_app *const *items;
    size_t count;
} rkt_apps;

/* ---- What the host gives ---- */

typedef struct rkt_host {
    size_t size;

    /* facts.wit: questions about the host */
    rkt_text (*facts_fact)(rkt_text name); /* or none */

    /* places.wit: where something comes from */
    rkt_place *(*places_volume)(rkt_text name);
    rkt_place *(*places_empty)(rkt_text name);
    rkt_place *(*places_payload)(rkt_text path);
    rkt_place *(*places_root_of)(rkt_text app);
    rkt_place *(*places_artifact)(rkt_text kind, rkt_text of);
    rkt_place *(*places_channel)(void);
    rkt_place *(*places_host)(rkt_text path);

    /* arguments.wit: what arguments of programs are put together from */
    rkt_piece *(*arguments_text)(rkt_text text);
    rkt_piece *(*arguments_descriptor)(const rkt_place *of, rkt_access access);
    rkt_piece *(*arguments_tree)(void);
    rkt_piece *(*arguments_command)(rkt_text app);
    rkt_piece *(*arguments_working_directory)(rkt_text app);
    rkt_piece *(*arguments_words)(void);

    /* pods.wit: the pod that is to be run */
    rkt_text (*pod_uuid)(const rkt_pod *pod);
    rkt_text (*pod_hostname)(const rkt_pod *pod);
    rkt_apps (*pod_apps)(const rkt_pod *pod); /* never empty */
    rkt_texts (*pod_requests)(const rkt_pod *pod);
    rkt_settings (*pod_settings)(const rkt_pod *pod);
    rkt_text (*app_name)(const rkt_app *app);
    rkt_credentials (*app_user)(const rkt_app *app);
    rkt_access (*app_root_access)(const rkt_app *app);
    rkt_volume_mounts (*app_volumes)(const rkt_app *app);
    rkt_limits (*app_limits)(const rkt_app *app);
    const rkt_capability_change *(*app_capabilities)(const rkt_app *app); /* or NULL */
    const rkt_seccomp_filter *(*app_seccomp)(const rkt_app *app);         /* or NULL */
    bool (*app_no_new_privileges)(const rkt_app *app);
    const int32_t *(*app_oom_score)(const rkt_app *app); /* or NULL */

    /* plans.wit: what the host is asked to do */
    void (*plan_share)(rkt_plan *plan, rkt_text name_space);
    void (*plan_hostname)(rkt_plan *plan, rkt_text name);
    rkt_jail *(*plan_app)(rkt_plan *plan, rkt_text name);
    rkt_program *(*plan_program)(rkt_plan *plan, const rkt_place *file);
    rkt_program *(*plan_helper)(rkt_plan *plan, rkt_text name, const rkt_place *file);
    rkt_program *(*plan_enter)(rkt_plan *plan, const rkt_place *file);
    rkt_program *(*plan_stop)(rkt_plan *plan, const rkt_place *file);
    void (*plan_claim)(rkt_plan *plan, rkt_text request, rkt_text how);
    void (*plan_waive)(rkt_plan *plan, rkt_text request, rkt_text reason);
    void (*plan_note)(rkt_plan *plan, rkt_text text);
    void (*program_argument)(rkt_program *program, rkt_pieces pieces);
    void (*program_environment)(rkt_program *program, rkt_text name, rkt_text value);
    void (*program_environment_of)(rkt_program *program, rkt_text app);
    rkt_jail *(*program_jail)(rkt_program *program);
    void (*program_unconfined)(rkt_program *program);
    void (*program_speaks_within)(rkt_program *program, uint32_t seconds, rkt_text hint); /* or none */
    void (*program_ready_when)(rkt_program *program, rkt_text path);
    void (*jail_root)(rkt_jail *jail, rkt_access access);
    void (*jail_bind)(rkt_jail *jail, const rkt_place *source, rkt_text target, rkt_access access,
                          rkt_reach reach);
    void (*jail_mount)(rkt_jail *jail, rkt_text kind, rkt_text target, rkt_texts options);
    void (*jail_link)(rkt_jail *jail, rkt_text path, rkt_text to);
    void (*jail_device)(rkt_jail *jail, rkt_text path);
    void (*jail_mask)(rkt_jail *jail, rkt_text path);
    void (*jail_read_only)(rkt_jail *jail, rkt_text path);
    void (*jail_file)(rkt_jail *jail, rkt_text path, uint32_t mode, rkt_text content);
    void (*jail_directory)(rkt_jail *jail, rkt_text path, uint32_t mode);
    void (*jail_channel)(rkt_jail *jail, rkt_text path);
    void (*jail_own_user)(rkt_jail *jail);
    void (*jail_user)(rkt_jail *jail, const rkt_credentials *who);
    void (*jail_capabilities)(rkt_jail *jail, rkt_texts names);
    void (*jail_no_new_privileges)(rkt_jail *jail);
    void (*jail_seccomp)(rkt_jail *jail, const rkt_seccomp_filter *filter);
    void (*jail_limit)(rkt_jail *jail, rkt_text what, uint64_t value);
    void (*jail_oom_score)(rkt_jail *jail, int32_t adjustment);
    void (*jail_stdio)(rkt_jail *jail, rkt_text mode);

    /* pods.wit, later: the targets of volumes that are wanted alone */
    rkt_texts (*app_single_volumes)(const rkt_app *app);

    /* plans.wit, later: a directory of its own */
    void (*program_own_directory)(rkt_program *program, rkt_text path);
} rkt_host;

/* Whether this host gives a function that came later than others. */
#define RKT_HAS(host, function) \
    ((host)->size >= offsetof(rkt_host, function) + sizeof((host)->function))

/* ---- What the plugin gives ---- */

/* What `plan` returns: the pod was planned, or cannot be run and the problem says why. */
#define RKT_PLANNED 0
#define RKT_REFUSED 1

typedef struct rkt_stage1 {
    size_t size;
    uint32_t contract[3];
    int (*plan)(const rkt_host *host, const rkt_pod *pod, rkt_plan *plan, rkt_problem *problem);
} rkt_stage1;

#ifdef __cplusplus
#define RKT_EXPORT extern "C" __attribute__((visibility("default"), used))
#else
#define RKT_EXPORT __attribute__((visibility("default"), used))
#endif

/* Exports the plugin. rkt reads size and contract without running anything. */
#define RKT_STAGE1(function) \
    RKT_EXPORT const rkt_stage1 rkt_plugin_stage1 = {sizeof(rkt_stage1), RKT_CONTRACT, function}

/*
 * Exports what the plugin may need, one permission a line, in the grammar of README.md. rkt reads it
 * without running anything; a plan may use those among them that policy grants.
 */
#define RKT_PERMISSIONS(lines) RKT_EXPORT const char rkt_plugin_permissions[] = lines

#ifdef __cplusplus
}
#endif

#endif /* RKT_PLUGIN_H */
