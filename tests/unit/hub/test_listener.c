#include "hub/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 3 };

/* What `fd` is bound to. */
static uint16_t port_of(int fd)
{
    char address[LISTENER_ADDRESS_SIZE];
    uint16_t port = 0;
    listener_name(fd, address, &port);
    return port;
}

static bool has_ipv6(void)
{
    struct listener listener;
    struct wh_buf problem = {0};
    bool works = listener_open("::1", 0, &listener, 1, &problem) == WH_OK;
    listener_close(&listener);
    wh_buf_deinit(&problem);
    return works;
}

static int connect_to(const char *address, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_v6 = strchr(address, ':') != NULL;
    assert_int_equal(is_v6 ? inet_pton(AF_INET6, address, &v6.sin6_addr)
                           : inet_pton(AF_INET, address, &v4.sin_addr),
                     1);
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = is_v6 ? connect(fd, (const struct sockaddr *)&v6, sizeof v6)
                       : connect(fd, (const struct sockaddr *)&v4, sizeof v4);
    close(fd);
    return result;
}

static void every_worker_gets_a_socket_of_each_address_on_one_port(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        unsigned count;
        bool needs_ipv6;
        const char *names[2];
    } cases[] = {
        {"127.0.0.1", 1, false, {"127.0.0.1", NULL}},
        {"0.0.0.0", 1, false, {"0.0.0.0", NULL}},
        {"::1", 1, true, {"::1", NULL}},
        {"", 1, true, {"::", NULL}},
        {NULL, 1, true, {"::", NULL}},
        {"localhost", 2, true, {"127.0.0.1", "::1"}},
    };
    bool ipv6 = has_ipv6();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].needs_ipv6 && !ipv6)
            continue;
        struct listener listeners[WORKERS];
        struct wh_buf problem = {0};
        assert_int_equal(listener_open(cases[i].address, 0, listeners, WORKERS, &problem), WH_OK);
        uint16_t port = port_of(listeners[0].fds[0]);
        assert_int_not_equal(port, 0);
        for (unsigned worker = 0; worker < WORKERS; worker++) {
            assert_int_equal(listeners[worker].count, cases[i].count);
            for (unsigned j = 0; j < cases[i].count; j++) {
                char name[LISTENER_ADDRESS_SIZE];
                uint16_t own_port = 0;
                listener_name(listeners[worker].fds[j], name, &own_port);
                assert_int_equal(own_port, port);
                assert_string_equal(name, cases[i].names[j]);
            }
            listener_close(&listeners[worker]);
        }
        wh_buf_deinit(&problem);
    }
}

static void the_empty_address_takes_both_families(void **state)
{
    (void)state;
    if (!has_ipv6())
        skip();
    struct listener listener;
    struct wh_buf problem = {0};
    assert_int_equal(listener_open("", 0, &listener, 1, &problem), WH_OK);
    uint16_t port = port_of(listener.fds[0]);
    assert_int_equal(connect_to("127.0.0.1", port), 0);
    assert_int_equal(connect_to("::1", port), 0);
    listener_close(&listener);
    assert_int_equal(connect_to("127.0.0.1", port), -1);
}

/* A stranger's socket that listens on a port of 127.0.0.1. */
static int stranger(bool shares_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    if (shares_port)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void a_port_that_somebody_listens_on_is_refused_even_if_it_is_shared(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1", "0.0.0.0", "", "localhost"};
    for (int shares_port = 0; shares_port <= 1; shares_port++) {
        int fd = stranger(shares_port != 0);
        for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
            struct listener listeners[WORKERS];
            struct wh_buf problem = {0};
            char port[16];
            snprintf(port, sizeof port, ":%u", port_of(fd));
            assert_int_equal(listener_open(addresses[i], port_of(fd), listeners, WORKERS, &problem),
                             WH_EEXIST);
            assert_non_null(strstr(wh_buf_cstr(&problem), "another program listens there"));
            assert_non_null(strstr(wh_buf_cstr(&problem), port));
            assert_null(strchr(wh_buf_cstr(&problem), '\n'));
            for (unsigned worker = 0; worker < WORKERS; worker++)
                assert_int_equal(listeners[worker].count, 0);
            wh_buf_deinit(&problem);
        }
        close(fd);
    }
}

static void bad_addresses_are_told_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        uint64_t port;
        const char *problem;
    } cases[] = {
        {"127.0.0.1", 65536, "above 65535"},
        {"192.0.2.1", 0, "no interface of this machine"},
        {"not an address", 0, "cannot resolve http_server.address \"not an address\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct listener listener;
        struct wh_buf problem = {0};
        assert_int_equal(listener_open(cases[i].address, cases[i].port, &listener, 1, &problem),
                         WH_EINVAL);
        assert_non_null(strstr(wh_buf_cstr(&problem), cases[i].problem));
        wh_buf_deinit(&problem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_gets_a_socket_of_each_address_on_one_port),
        cmocka_unit_test(the_empty_address_takes_both_families),
        cmocka_unit_test(a_port_that_somebody_listens_on_is_refused_even_if_it_is_shared),
        cmocka_unit_test(bad_addresses_are_told_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
