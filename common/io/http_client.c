/*
 * libcurl tells which sockets it waits for (on_socket_wanted: one uv_poll each) and when it wants
 * to be called next (on_timer_wanted: one timer of the wheel); we tell it what happened
 * (curl_multi_socket_action) and collect what has ended.  Callbacks of libcurl never call out:
 * ends are reported from collect(), when libcurl is not on the stack.
 *
 * CURLOPT_QUICK_EXIT is what makes the time-out true: without it libcurl joins the thread of a
 * look-up that it gives up, which blocks the loop for as long as the name server is silent
 * (curl issues 2975 and 8515).
 */
#include "common/io/http_client.h"

#include "common/base/alloc.h"

#include <curl/curl.h>

struct wh_http_client {
    struct wh_loop *loop;
    CURLM *multi;
    struct wh_timer timer;
    struct wh_task at_once; /* a timer of 0: the wheel's next tick would be late */
    struct wh_list requests;
};

struct wh_http_request {
    struct wh_list link;
    struct wh_http_client *client;
    CURL *easy;
    struct curl_slist *headers; /* of a POST */
    struct wh_buf body;
    bool is_too_long;
    wh_http_done_fn *done;
    void *user;
    char problem[CURL_ERROR_SIZE];
};

/* One socket that libcurl waits for.  Frees itself once closed, without the client. */
struct watch {
    uv_poll_t poll; /* data = the client */
    curl_socket_t socket;
};

/* Ends */

static void request_free(struct wh_http_request *request)
{
    wh_list_remove(&request->link);
    if (request->easy) {
        curl_multi_remove_handle(request->client->multi, request->easy);
        curl_easy_cleanup(request->easy);
    }
    curl_slist_free_all(request->headers);
    wh_buf_deinit(&request->body);
    wh_free(request);
}

static enum wh_err to_err(const struct wh_http_request *request, CURLcode code)
{
    if (code == CURLE_OK)
        return wh_buf_error(&request->body);
    if (request->is_too_long || code == CURLE_FILESIZE_EXCEEDED)
        return WH_ELIMIT;
    if (code == CURLE_OUT_OF_MEMORY)
        return WH_ENOMEM;
    return code == CURLE_OPERATION_TIMEDOUT ? WH_ETIMEOUT : WH_EIO;
}

static void report(struct wh_http_request *request, CURLcode code)
{
    struct wh_http_response response = {.err = to_err(request, code)};
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &response.status);
    curl_off_t retry_after_s = 0;
    if (curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after_s) == CURLE_OK &&
        retry_after_s > 0)
        response.retry_after_s = retry_after_s < UINT32_MAX ? (uint32_t)retry_after_s : UINT32_MAX;
    if (response.err == WH_OK)
        response.body = wh_buf_slice(&request->body);
    else if (response.err == WH_ELIMIT)
        response.problem = "the response is too long";
    else
        response.problem = request->problem[0] ? request->problem : curl_easy_strerror(code);
    wh_list_remove(&request->link);
    request->done(request->user, &response);
    request_free(request);
}

/* Report every request that has ended. */
static void collect(struct wh_http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct wh_http_request *request = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
        report(request, code);
    }
}

static void act(struct wh_http_client *client, curl_socket_t socket, int flags)
{
    int running;
    curl_multi_socket_action(client->multi, socket, flags, &running);
    collect(client);
}

/* Sockets and time */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    const struct watch *watch = WH_CONTAINER_OF(poll, struct watch, poll);
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(poll->data, watch->socket, flags);
}

static void on_watch_closed(uv_handle_t *handle)
{
    wh_free(WH_CONTAINER_OF(handle, struct watch, poll));
}

static struct watch *watch_new(struct wh_http_client *client, curl_socket_t socket)
{
    struct watch *watch = wh_calloc(1, sizeof(*watch));
    if (!watch)
        return NULL;
    if (uv_poll_init_socket(&client->loop->uv, &watch->poll, socket) != 0) {
        wh_free(watch);
        return NULL;
    }
    watch->poll.data = client;
    watch->socket = socket;
    return watch;
}

/* libcurl, about `socket`; -1 makes it give the transfer up. */
static int on_socket_wanted(CURL *easy, curl_socket_t socket, int what, void *user, void *known)
{
    struct wh_http_client *client = user;
    struct watch *watch = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        curl_multi_assign(client->multi, socket, NULL);
        return 0;
    }
    if (!watch) {
        watch = watch_new(client, socket);
        if (!watch)
            return -1;
        curl_multi_assign(client->multi, socket, watch);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&watch->poll, events, on_poll) == 0 ? 0 : -1;
}

static void on_timer(struct wh_timer *timer)
{
    act(WH_CONTAINER_OF(timer, struct wh_http_client, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void on_at_once(struct wh_task *task)
{
    act(WH_CONTAINER_OF(task, struct wh_http_client, at_once), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *user)
{
    struct wh_http_client *client = user;
    (void)multi;
    wh_loop_timer_stop(client->loop, &client->timer);
    wh_task_cancel(&client->at_once);
    if (timeout_ms == 0)
        wh_loop_defer(client->loop, &client->at_once);
    else if (timeout_ms > 0)
        wh_loop_timer_start(client->loop, &client->timer, (uint64_t)timeout_ms);
    return 0;
}

/* Life */

enum wh_err wh_http_client_new(struct wh_loop *loop, struct wh_http_client **out_client)
{
    struct wh_http_client *client = wh_calloc(1, sizeof(*client));
    if (!client)
        return WH_ENOMEM;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        wh_free(client);
        return WH_ENOMEM;
    }
    client->loop = loop;
    wh_list_init(&client->requests);
    wh_timer_init(&client->timer, on_timer);
    wh_task_init(&client->at_once, on_at_once);
    client->multi = curl_multi_init();
    if (!client->multi) {
        wh_http_client_free(client);
        return WH_ENOMEM;
    }
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    *out_client = client;
    return WH_OK;
}

void wh_http_client_free(struct wh_http_client *client)
{
    if (!client)
        return;
    while (!wh_list_is_empty(&client->requests))
        request_free(WH_CONTAINER_OF(client->requests.next, struct wh_http_request, link));
    if (client->multi)
        curl_multi_cleanup(client->multi);
    wh_loop_timer_stop(client->loop, &client->timer);
    wh_task_cancel(&client->at_once);
    curl_global_cleanup();
    wh_free(client);
}

/* Requests */

/* "http" or "https"; NULL for any other URL. */
static const char *scheme_of(const char *url)
{
    const char *scheme = NULL;
    char *text = NULL, *host = NULL;
    CURLU *parts = curl_url();
    if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &text, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK && *host) {
        if (strcmp(text, "https") == 0)
            scheme = "https";
        else if (strcmp(text, "http") == 0)
            scheme = "http";
    }
    curl_free(text);
    curl_free(host);
    curl_url_cleanup(parts);
    return scheme;
}

bool wh_http_url_is_valid(const char *url)
{
    return scheme_of(url) != NULL;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    struct wh_http_request *request = user;
    wh_buf_append(&request->body, bytes, size * count);
    request->is_too_long = wh_buf_error(&request->body) == WH_ELIMIT;
    return wh_buf_error(&request->body) ? 0 : size * count;
}

static bool configure(struct wh_http_request *request,
                      const char *url,
                      const struct wh_http_options *options)
{
    CURL *easy = request->easy;
    const char *scheme = scheme_of(url); /* the only one allowed: redirects too stay in it */
    return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, scheme) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, options->redirects_max > 0 ? 1L : 0L) ==
               CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)options->redirects_max) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)options->timeout_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "wirehub") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)options->body_bytes_max) ==
               CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, request) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->problem) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PRIVATE, request) == CURLE_OK;
}

bool wh_http_header_is_valid(const char *header)
{
    const char *colon = strchr(header, ':');
    return colon && colon > header && !strpbrk(header, "\r\n");
}

static bool add_header(struct wh_http_request *request, const char *header)
{
    struct curl_slist *longer = curl_slist_append(request->headers, header);
    if (longer)
        request->headers = longer;
    return longer != NULL;
}

/* "Expect:" is libcurl's way to say that it shall not wait for a "100 Continue". */
static bool configure_post(struct wh_http_request *request, const struct wh_http_content *content)
{
    CURL *easy = request->easy;
    struct wh_buf type = {0};
    wh_buf_printf(&type, "Content-Type: %s", content->type);
    bool is_ok = wh_buf_error(&type) == WH_OK && add_header(request, wh_buf_cstr(&type)) &&
                 add_header(request, "Expect:");
    wh_buf_deinit(&type);
    for (size_t i = 0; is_ok && i < content->header_count; i++)
        is_ok = add_header(request, content->headers[i]);
    return is_ok && curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)content->body.len) ==
               CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
                            content->body.len > 0 ? content->body.ptr : "") == CURLE_OK;
}

/* `content` NULL: a GET. */
static enum wh_err start(struct wh_http_client *client,
                         const char *url,
                         const struct wh_http_content *content,
                         const struct wh_http_options *options,
                         struct wh_http_request **out_request)
{
    if (!wh_http_url_is_valid(url))
        return WH_EINVAL;
    struct wh_http_request *request = wh_calloc(1, sizeof(*request));
    if (!request)
        return WH_ENOMEM;
    request->client = client;
    wh_list_init(&request->link);
    wh_buf_init(&request->body, options->body_bytes_max);
    request->easy = curl_easy_init();
    if (!request->easy || !configure(request, url, options) ||
        (content && !configure_post(request, content)) ||
        curl_multi_add_handle(client->multi, request->easy) != CURLM_OK) {
        request_free(request);
        return WH_ENOMEM;
    }
    wh_list_push_back(&client->requests, &request->link);
    *out_request = request;
    return WH_OK;
}

enum wh_err wh_http_get(struct wh_http_client *client,
                        const char *url,
                        const struct wh_http_options *options,
                        wh_http_done_fn *done,
                        void *user,
                        struct wh_http_request **out_request)
{
    enum wh_err err = start(client, url, NULL, options, out_request);
    if (err)
        return err;
    (*out_request)->done = done;
    (*out_request)->user = user;
    return WH_OK;
}

enum wh_err wh_http_post(struct wh_http_client *client,
                         const char *url,
                         const struct wh_http_content *content,
                         const struct wh_http_options *options,
                         wh_http_done_fn *done,
                         void *user,
                         struct wh_http_request **out_request)
{
    for (size_t i = 0; i < content->header_count; i++)
        if (!wh_http_header_is_valid(content->headers[i]))
            return WH_EINVAL;
    enum wh_err err = start(client, url, content, options, out_request);
    if (err)
        return err;
    (*out_request)->done = done;
    (*out_request)->user = user;
    return WH_OK;
}

void wh_http_cancel(struct wh_http_request *request)
{
    request_free(request);
}
