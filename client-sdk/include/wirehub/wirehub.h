/* Everything of libwirehub but the adapters to event loops (uv.h, glib.h, libevent.h). */
#ifndef WIREHUB_WIREHUB_H
#define WIREHUB_WIREHUB_H

#include <wirehub/call.h>
#include <wirehub/client.h>
#include <wirehub/data.h>
#include <wirehub/error.h>
#include <wirehub/runtime.h>
#include <wirehub/subscription.h>
#include <wirehub/version.h>

#endif
