/*
 * A stage1 flavor in C: an isolated pod on the host's network.
 *
 * Each app has the image as its root, its volumes, the kernel's file systems, three devices and no
 * capability at all. It is as small as a flavor can be that answers every
 * request it may be given; what it does not know it waives, by name.
 */
#include <string.h>

#include "rkt-plugin.h"

RKT_PERMISSIONS("share:network\n"
                "share:user\n"
                "hostname\n"
                "root\n"
                "user\n"
                "bind:volume\n"
                "mount:proc\n"
                "mount:sysfs\n"
                "mount:tmpfs\n"
                "device:/dev/null\n"
                "device:/dev/zero\n"
                "device:/dev/urandom\n"
                "no-new-privileges\n"
                "seccomp\n"
                "limit\n"
                "oom-score\n");

/* The devices of every app. */
static const char *const DEVICES[] = {"/dev/null", "/dev/zero", "/dev/urandom"};

/* The last parts of the requests that a plan of this flavor shows. */
static const char *const SHOWN[] = {"user",    "read-only-root",    "volume",    "limit",
                                    "seccomp", "no-new-privileges", "oom-score", "hostname"};

static rkt_text text(const char *literal)
{
    rkt_text text = {literal, strlen(literal)};
    return text;
}

static bool is(rkt_text a, rkt_text b)
{
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

static bool is_among(rkt_text one, rkt_texts all)
{
    for (size_t i = 0; i < all.count; i++)
        if (is(one, all.items[i]))
            return true;
    return false;
}

/* What a request asks for: `volume` of `app/db/volume/data`, `hostname` of `hostname`. */
static rkt_text kind(rkt_text request)
{
    const char *end = request.data + request.length;
    if (request.length > 4 && memcmp(request.data, "app/", 4) == 0) {
        const char *slash = memchr(request.data + 4, '/', request.length - 4);
        if (slash != NULL) {
            request.data = slash + 1;
            request.length = (size_t)(end - request.data);
        }
    }
    const char *slash = memchr(request.data, '/', request.length);
    if (slash != NULL)
        request.length = (size_t)(slash - request.data);
    return request;
}

static bool is_shown(rkt_text request)
{
    for (size_t i = 0; i < sizeof SHOWN / sizeof *SHOWN; i++)
        if (is(kind(request), text(SHOWN[i])))
            return true;
    return false;
}

static void plan_mount(const rkt_host *host, rkt_jail *app, const char *kind, const char *target, rkt_text option)
{
    rkt_texts options = {&option, option.data == NULL ? 0 : 1};
    host->jail_mount(app, text(kind), text(target), options);
}

static void plan_files(const rkt_host *host, const rkt_app *of, rkt_jail *app)
{
    const rkt_text none = {NULL, 0};
    host->jail_root(app, host->app_root_access(of));
    plan_mount(host, app, "proc", "/proc", none);
    plan_mount(host, app, "sysfs", "/sys", text("ro"));
    plan_mount(host, app, "tmpfs", "/dev", text("mode=0755"));
    plan_mount(host, app, "tmpfs", "/tmp", text("mode=1777"));
    for (size_t i = 0; i < sizeof DEVICES / sizeof *DEVICES; i++)
        host->jail_device(app, text(DEVICES[i]));
    rkt_volume_mounts volumes = host->app_volumes(of);
    rkt_texts alone = host->app_single_volumes(of);
    for (size_t i = 0; i < volumes.count; i++) {
        const rkt_volume_mount *volume = &volumes.items[i];
        host->jail_bind(app, host->places_volume(volume->volume), volume->target, volume->access,
                        is_among(volume->target, alone) ? RKT_SINGLE : RKT_RECURSIVE);
    }
}

static void plan_process(const rkt_host *host, const rkt_app *of, rkt_jail *app)
{
    rkt_credentials user = host->app_user(of);
    host->jail_user(app, &user);
    host->jail_no_new_privileges(app);

    rkt_text name = RKT_TEXT("@default");
    rkt_seccomp_filter usual = {RKT_RETAIN, {&name, 1}, {NULL, 0}};
    const rkt_seccomp_filter *asked = host->app_seccomp(of);
    host->jail_seccomp(app, asked != NULL ? asked : &usual);

    rkt_limits limits = host->app_limits(of);
    for (size_t i = 0; i < limits.count; i++)
        host->jail_limit(app, limits.items[i].what, limits.items[i].value);
    const int32_t *score = host->app_oom_score(of);
    if (score != NULL)
        host->jail_oom_score(app, *score);
}

static int plan(const rkt_host *host, const rkt_pod *pod, rkt_plan *plan, rkt_problem *problem)
{
    if (host->pod_settings(pod).count > 0) {
        problem->message = RKT_TEXT("this flavor has no options");
        problem->hint = RKT_TEXT("leave --stage1-option out");
        return RKT_REFUSED;
    }
    host->plan_share(plan, RKT_TEXT("network"));
    host->plan_share(plan, RKT_TEXT("user"));
    host->plan_hostname(plan, host->pod_hostname(pod));

    rkt_texts requests = host->pod_requests(pod);
    for (size_t i = 0; i < requests.count; i++)
        if (!is_shown(requests.items[i]))
            host->plan_waive(plan, requests.items[i], RKT_TEXT("a flavor this small does not know it"));

    rkt_apps apps = host->pod_apps(pod);
    for (size_t i = 0; i < apps.count; i++) {
        rkt_jail *app = host->plan_app(plan, host->app_name(apps.items[i]));
        plan_files(host, apps.items[i], app);
        plan_process(host, apps.items[i], app);
    }
    return RKT_PLANNED;
}

RKT_STAGE1(plan);
