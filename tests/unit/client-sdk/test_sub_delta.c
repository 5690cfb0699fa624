/* Publications that come as patches: programs get them whole. */
#include "sub_fixture.h"

#include "common/base/random.h"
#include "common/protocol/delta.h"
#include "common/protocol/json.h"

static struct fx the_fx;
static const struct wh_sub_options with_delta = {.size = sizeof(with_delta),
                                                 .recoverable = true,
                                                 .delta = true};

static int setup(void **state)
{
    wh_random_seed(1);
    fx_init(&the_fx, WH_ENCODING_JSON);
    *state = &the_fx;
    return 0;
}

static int teardown(void **state)
{
    fx_deinit(*state);
    return 0;
}

static const char first[] = "{\"text\":\"a long text that hardly changes at all\",\"n\":1}";
static const char second[] = "{\"text\":\"a long text that hardly changes at all\",\"n\":2}";

/* `"data":"…"` of the patch from one text to the other, as a publication of JSON. */
static const char *patch_pub(const char *from, const char *to, unsigned offset)
{
    static char text[4096];
    struct wh_buf patch = {0}, quoted = {0};
    assert_int_equal(
        wh_delta_create(WH_DELTA_UTF8, wh_slice_from_str(from), wh_slice_from_str(to), &patch),
        WH_OK);
    wh_json_write_string(&quoted, wh_buf_slice(&patch));
    snprintf(text, sizeof(text),
             "{\"data\":%s,\"offset\":%u,\"delta\":true,\"tags\":{\"k\":\"v\"},"
             "\"info\":{\"user\":\"u\",\"client\":\"y\"}}",
             wh_buf_cstr(&quoted), offset);
    wh_buf_deinit(&patch);
    wh_buf_deinit(&quoted);
    return text;
}

static const char *whole_pub(const char *data, unsigned offset)
{
    static char text[4096];
    struct wh_buf quoted = {0};
    wh_json_write_string(&quoted, wh_slice_from_str(data));
    snprintf(text, sizeof(text), "{\"data\":%s,\"offset\":%u}", wh_buf_cstr(&quoted), offset);
    wh_buf_deinit(&quoted);
    return text;
}

static void push(struct fx *fx, const char *pub)
{
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":%s}}", pub);
}

static struct wh_sub *begin(struct fx *fx)
{
    struct wh_sub *sub = fx_sub(fx, "c", &with_delta);
    fx_subscribe(fx, sub, RECOVERABLE "0,\"delta\":true");
    return sub;
}

static void patches_become_whole_publications(void **state)
{
    struct fx *fx = *state;
    char expected[512];
    begin(fx);
    push(fx, whole_pub(first, 1));
    push(fx, patch_pub(first, second, 2));
    push(fx, patch_pub(second, first, 3));
    snprintf(expected, sizeof(expected),
             "pub c %s #1\npub c %s #2 k=v by u/y\npub c %s #3 k=v by u/y\n", first, second, first);
    fx_expect(fx, expected);
}

static void it_is_asked_for_and_a_server_without_it_is_fine(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", &with_delta);
    fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    const struct wh_command *command = fx_take(fx);
    assert_true(wh_slice_equal_str(command->subscribe->delta, "fossil"));
    fx_say(fx, "{\"id\":%u,\"subscribe\":{}}", command->id);
    fx_forget(fx);
    push(fx, "{\"data\":\"x\"}");
    fx_expect(fx, "pub c \"x\"\n");
}

static void recovered_publications_are_a_chain_that_live_ones_go_on(void **state)
{
    struct fx *fx = *state;
    char list[4096], expected[512];
    struct wh_sub *sub = begin(fx);
    fx_lose(fx);
    fx_advance(fx, 60000);
    assert_true(fx_act(fx));
    uint32_t connect = fx_take(fx)->id, subscribe = fx_take(fx)->id;
    size_t len = (size_t)snprintf(list, sizeof(list), "%s,", whole_pub(first, 1));
    snprintf(list + len, sizeof(list) - len, "%s", patch_pub(first, second, 2));
    fx_say(fx, "{\"id\":%u,\"connect\":{\"client\":\"x\"}}", connect);
    fx_forget(fx);
    fx_say(fx,
           "{\"id\":%u,\"subscribe\":{" RECOVERABLE "0,\"delta\":true,\"was_recovering\":true,"
           "\"recovered\":true,\"publications\":[%s]}}",
           subscribe, list);
    push(fx, patch_pub(second, first, 3));
    snprintf(expected, sizeof(expected),
             "subscribed c 0:e recoverable recovered\n"
             "pub c %s #1\npub c %s #2 k=v by u/y\npub c %s #3 k=v by u/y\n",
             first, second, first);
    fx_expect(fx, expected);
    assert_int_equal(sub->received.offset, 3);
}

static void a_patch_that_does_not_fit_subscribes_anew_without_patches(void **state)
{
    struct fx *fx = *state;
    static const char *const bad[] = {
        "{\"data\":\"nonsense\",\"offset\":2,\"delta\":true}",
        "{\"data\":\"z~z~z~\\n0\",\"offset\":2,\"delta\":true}",
        "{\"data\":{\"no\":\"string\"},\"offset\":2}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct wh_sub *sub = begin(fx);
        push(fx, whole_pub(first, 1));
        fx_forget(fx);
        fx_advance(fx, 21000);
        push(fx, bad[i]);
        assert_non_null(fx_take(fx)->unsubscribe);
        const struct wh_subscribe_request *request = fx_take(fx)->subscribe;
        assert_true(request->recover && request->offset == 1);
        assert_true(wh_slice_is_empty(request->delta));
        fx_expect(fx, "error c WH_EFORMAT 0\nsubscribing c 2500 insufficient state\n");
        sub_forget(sub);
        engine_disconnect(&fx->engine);
        fx_forget(fx);
    }
}

static void a_patch_without_its_base_does_not_fit(void **state)
{
    struct fx *fx = *state;
    begin(fx);
    push(fx, patch_pub("", second, 1));
    assert_non_null(fx_take(fx)->unsubscribe);
    fx_expect(fx, "error c WH_EFORMAT 0\nsubscribing c 2500 insufficient state later\n");
}

static void a_patch_cannot_claim_more_than_a_message(void **state)
{
    struct fx *fx = *state;
    fx->settings.message_bytes_max = 1000;
    begin(fx);
    char *large = calloc(1, 3001);
    memset(large, '7', 3000);
    push(fx, whole_pub(first, 1));
    fx_forget(fx);
    push(fx, patch_pub(first, large, 2));
    free(large);
    fx_expect(fx, "error c WH_EFORMAT 0\nsubscribing c 2500 insufficient state later\n");
}

static void a_bad_patch_in_a_recovery_is_unsubscribed_before_the_next_try(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", &with_delta);
    fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    fx_forget(fx);
    fx_say(fx,
           "{\"id\":%u,\"subscribe\":{" RECOVERABLE "0,\"delta\":true,"
           "\"publications\":[{\"data\":\"x\",\"offset\":1,\"delta\":true}]}}",
           fx_take(fx)->id);
    fx_expect(fx, "error c WH_EFORMAT 0\n");
    assert_non_null(fx_take(fx)->unsubscribe);
    fx_take_nothing(fx);
    fx_advance(fx, 1100);
    assert_true(wh_slice_is_empty(fx_take(fx)->subscribe->delta));
}

static void a_kept_publication_outlives_all(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = begin(fx);
    push(fx, whole_pub(first, 1));
    fx_forget(fx);
    push(fx, patch_pub(first, second, 2));
    struct event *event = engine_take_event(&fx->engine);
    const struct wh_publication *kept = wh_publication_ref(&event->u.publication);
    event_free(event);
    sub_forget(sub);
    assert_string_equal(kept->channel, "c");
    assert_memory_equal(kept->data.ptr, second, kept->data.len);
    assert_string_equal(kept->info->user, "u");
    wh_publication_unref(kept);
}

static void protobuf_carries_bytes(void **state)
{
    struct fx *unused = *state;
    (void)unused;
    static struct fx fx;
    fx_init(&fx, WH_ENCODING_PROTOBUF);
    struct wh_sub *sub = fx_sub(&fx, "c", &with_delta);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    struct wh_connect_result connected = {.client = WH_SLICE_LITERAL("x")};
    struct wh_subscribe_result subscribed = {.positioned = true, .delta = true};
    struct wh_reply replies[4] = {{.connect = &connected}, {.subscribe = &subscribed}};
    struct wh_buf patch = {0}, frame = {0};
    assert_int_equal(wh_delta_create(WH_DELTA_BYTES, WH_SLICE_LITERAL("\x01\x02\x03\x04\x05\x06"),
                                     WH_SLICE_LITERAL("\x01\x02\x03\x04\x05\x07"), &patch),
                     WH_OK);
    struct wh_pub pubs[2] = {
        {.data = {WH_PAYLOAD_BYTES, WH_SLICE_LITERAL("\x01\x02\x03\x04\x05\x06")}, .offset = 1},
        {.data = {WH_PAYLOAD_BYTES, wh_buf_slice(&patch)}, .offset = 2, .delta = true}};
    struct wh_push pushes[2] = {{.channel = WH_SLICE_LITERAL("c"), .pub = &pubs[0]},
                                {.channel = WH_SLICE_LITERAL("c"), .pub = &pubs[1]}};
    replies[0].id = fx_open(&fx)->id;
    replies[1].id = fx_take(&fx)->id;
    replies[2].push = &pushes[0];
    replies[3].push = &pushes[1];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(wh_encode(WH_ENCODING_PROTOBUF, &wh_reply_schema, &replies[i], 0, &frame),
                         WH_OK);
    fx_give(&fx, fx.connection, frame.ptr, frame.len);
    wh_buf_deinit(&frame);
    wh_buf_deinit(&patch);
    struct event *event, *last = NULL;
    while ((event = engine_take_event(&fx.engine))) {
        event_free(last);
        last = event;
    }
    assert_int_equal(last->kind, EVENT_PUBLICATION);
    assert_int_equal(last->u.publication.data.len, 6);
    assert_memory_equal(last->u.publication.data.ptr, "\x01\x02\x03\x04\x05\x07", 6);
    event_free(last);
    fx_deinit(&fx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(patches_become_whole_publications),
        TEST(it_is_asked_for_and_a_server_without_it_is_fine),
        TEST(recovered_publications_are_a_chain_that_live_ones_go_on),
        TEST(a_patch_that_does_not_fit_subscribes_anew_without_patches),
        TEST(a_patch_without_its_base_does_not_fit),
        TEST(a_patch_cannot_claim_more_than_a_message),
        TEST(a_bad_patch_in_a_recovery_is_unsubscribed_before_the_next_try),
        TEST(a_kept_publication_outlives_all),
        TEST(protobuf_carries_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
