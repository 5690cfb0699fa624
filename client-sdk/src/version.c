/* What this library is and can do. */
#include <wirehub/version.h>

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

const char *wh_version(void)
{
    return WH_VERSION;
}

unsigned wh_version_num(void)
{
    return WH_VERSION_NUM;
}

/* libwebsockets loads its event loops as plug-ins, which are packages of their own. */
static bool can_load(const char *plugin)
{
    void *handle = dlopen(plugin, RTLD_LAZY | RTLD_LOCAL);
    if (!handle)
        return false;
    dlclose(handle);
    return true;
}

bool wh_has(const char *feature)
{
    static const struct {
        const char *name;
        const char *plugin; /* NULL = built in */
    } features[] = {
        {"json", NULL},
        {"msgpack", NULL},
        {"protobuf", NULL},
        {"delta", NULL},
        {"tls", NULL},
        {"uv", "libwebsockets-evlib_uv.so"},
        {"ev", "libwebsockets-evlib_ev.so"},
        {"glib", "libwebsockets-evlib_glib.so"},
    };
    for (size_t i = 0; feature && i < sizeof features / sizeof *features; i++) {
        if (strcmp(feature, features[i].name) == 0)
            return !features[i].plugin || can_load(features[i].plugin);
    }
    return false;
}
