/* TLS: certificates are made here, good ones and bad ones; the server is OpenSSL's. */
#include "tests/support/fake_client.h"
#include "tests/support/raw_peer.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIMIT_S = 30 };

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static struct service *service;
static struct identity authority, stranger, localhost, other_name, expired, person;
static char directory[] = "/tmp/wh-tls-XXXXXX";

/* ---- certificates -------------------------------------------------------------------------- */

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* `issuer` NULL: by itself.  `names`: "DNS:a,IP:b"; NULL = an authority. */
static struct identity make_identity(const struct identity *issuer,
                                     const char *names,
                                     long valid_until_s)
{
    static long serial;
    struct identity made = {EVP_EC_gen("P-256"), X509_new()};
    const struct identity *by = issuer ? issuer : &made;
    X509_NAME *name = X509_get_subject_name(made.certificate);
    char text[32];
    (void)snprintf(text, sizeof text, "test %ld", ++serial);
    assert_int_equal(X509_set_version(made.certificate, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), serial), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(made.certificate), -86400));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(made.certificate), valid_until_s));
    assert_int_equal(X509_set_pubkey(made.certificate, made.key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)text, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(made.certificate, X509_get_subject_name(by->certificate)),
                     1);
    add_extension(made.certificate, by->certificate, NID_basic_constraints,
                  names ? "CA:FALSE" : "critical,CA:TRUE");
    if (names && *names)
        add_extension(made.certificate, by->certificate, NID_subject_alt_name, names);
    assert_int_not_equal(X509_sign(made.certificate, by->key, EVP_sha256()), 0);
    return made;
}

static const char *path(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *out = paths[next++ % 8];
    (void)snprintf(out, sizeof paths[0], "%s/%s", directory, name);
    return out;
}

static void write_pem(const char *name, const struct identity *identity, const char *password)
{
    char file_name[64];
    (void)snprintf(file_name, sizeof file_name, "%s.pem", name);
    FILE *file = fopen(path(file_name), "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, identity->certificate), 1);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(file_name, sizeof file_name, "%s.key", name);
    file = fopen(path(file_name), "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, identity->key, password ? EVP_aes_128_cbc() : NULL,
                                          NULL, 0, NULL, (void *)(uintptr_t)password),
                     1);
    assert_int_equal(fclose(file), 0);
}

static struct wh_data pem_of(const struct identity *first, const struct identity *second)
{
    static char bytes[16384];
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, first->certificate), 1);
    if (second)
        assert_int_equal(PEM_write_bio_X509(bio, second->certificate), 1);
    int len = BIO_read(bio, bytes, sizeof bytes);
    BIO_free(bio);
    assert_true(len > 0);
    return (struct wh_data){.ptr = bytes, .len = (size_t)len};
}

static int setup(void **state)
{
    (void)state;
    const struct service_options options = {.loop = WH_LOOP_NONE};
    struct wh_error detail;
    assert_non_null(mkdtemp(directory));
    authority = make_identity(NULL, NULL, 86400);
    stranger = make_identity(NULL, NULL, 86400);
    localhost = make_identity(&authority, "DNS:localhost,IP:127.0.0.1,IP:::1", 86400);
    other_name = make_identity(&authority, "DNS:hub.example", 86400);
    expired = make_identity(&authority, "DNS:localhost,IP:127.0.0.1", -3600);
    person = make_identity(&authority, "", 86400);
    write_pem("authority", &authority, NULL);
    write_pem("person", &person, "secret");
    return service_new(&options, &service, &detail) == WH_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    struct identity *all[] = {&authority, &stranger, &localhost, &other_name, &expired, &person};
    static const char *const files[] = {"authority.pem", "authority.key", "person.pem",
                                        "person.key"};
    service_free(service, NULL, NULL);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        EVP_PKEY_free(all[i]->key);
        X509_free(all[i]->certificate);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        (void)unlink(path(files[i]));
    return rmdir(directory);
}

/* ---- server -------------------------------------------------------------------------------- */

struct server {
    struct raw_peer *peer;
    SSL_CTX *context;
    char sni[64]; /* "-" = none came */
    struct wh_client client;
};

static void echo_script(struct raw_stream *stream, void *user)
{
    struct server *server = user;
    const char *sni = SSL_get_servername(stream->tls, TLSEXT_NAMETYPE_host_name);
    (void)snprintf(server->sni, sizeof server->sni, "%s", sni ? sni : "-");
    if (raw_read_request(stream) && raw_upgrade(stream, NULL))
        raw_echo(stream);
}

static void start(struct server *server, const struct identity *identity, const char *host)
{
    char url[128];
    memset(server, 0, sizeof *server);
    server->context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(server->context, identity->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->context, identity->key), 1);
    server->peer = raw_peer_start(echo_script, server, server->context);
    (void)snprintf(url, sizeof url, "wss://%s:%u/", host, raw_peer_port(server->peer));
    fake_client_init(&server->client, service, url);
    server->client.settings.has_tls = true;
    server->client.settings.tls = (struct wh_tls_options)WH_TLS_OPTIONS_INIT;
    server->client.settings.tls.ca = pem_of(&authority, NULL);
}

static void stop(struct server *server)
{
    fake_client_deinit(&server->client);
    raw_peer_stop(server->peer);
    SSL_CTX_free(server->context);
}

static void pump(const unsigned *counter)
{
    time_t end = time(NULL) + LIMIT_S;
    while (*counter == 0) {
        service_run(service, 50);
        if (time(NULL) > end)
            fail_msg("waited too long");
    }
}

static void connect_and_echo(struct server *server)
{
    time_t end = time(NULL) + LIMIT_S;
    fake_open(&server->client);
    while (!server->client.opened && !server->client.closed)
        service_run(service, 50);
    if (!server->client.opened)
        fail_msg("%s", server->client.error.text);
    fake_send(&server->client, "hello", 5);
    while (server->client.message_count == 0 && time(NULL) < end)
        service_run(service, 50);
    assert_string_equal(server->client.messages[0]->bytes, "hello");
}

static void connect_and_fail(struct server *server, const char *says)
{
    fake_open(&server->client);
    pump(&server->client.closed);
    assert_int_equal(server->client.opened, 0);
    if (!strstr(server->client.error.text, says))
        fail_msg("\"%s\" does not say \"%s\"", server->client.error.text, says);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void a_known_authority_and_the_right_name_connect(void **state)
{
    (void)state;
    struct server server;
    start(&server, &localhost, "localhost");
    connect_and_echo(&server);
    assert_string_equal(server.sni, "localhost");
    stop(&server);
}

static void a_literal_is_checked_but_not_named(void **state)
{
    (void)state;
    struct server server;
    start(&server, &localhost, "127.0.0.1");
    connect_and_echo(&server);
    assert_string_equal(server.sni, "-");
    stop(&server);
}

static void authorities_may_come_in_a_file_or_be_several(void **state)
{
    (void)state;
    struct server server;
    start(&server, &localhost, "localhost");
    server.client.settings.tls.ca = pem_of(&stranger, &authority);
    connect_and_echo(&server);
    stop(&server);
    start(&server, &localhost, "localhost");
    server.client.settings.tls.ca = (struct wh_data){0};
    server.client.settings.tls.ca_file = path("authority.pem");
    connect_and_echo(&server);
    stop(&server);
}

/* openssl(1) makes the links by which OpenSSL finds an issuer. */
static void rehash(const char *where)
{
    char *const arguments[] = {(char *)(uintptr_t) "openssl", (char *)(uintptr_t) "rehash",
                               (char *)(uintptr_t)where, NULL};
    pid_t pid;
    int status = -1;
    assert_int_equal(posix_spawnp(&pid, "openssl", NULL, NULL, arguments, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void remove_directory(const char *where)
{
    char name[512];
    DIR *entries = opendir(where);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries));) {
        (void)snprintf(name, sizeof name, "%s/%s", where, entry->d_name);
        (void)unlink(name); /* "." and ".." stay */
    }
    (void)closedir(entries);
    assert_int_equal(rmdir(where), 0);
}

static void connect_with_directory(const char *where, const char *says)
{
    struct server server;
    start(&server, &localhost, "localhost");
    server.client.settings.tls.ca = (struct wh_data){0};
    server.client.settings.tls.ca_dir = where;
    if (says)
        connect_and_fail(&server, says);
    else
        connect_and_echo(&server);
    stop(&server);
}

static void authorities_may_lie_in_a_directory(void **state)
{
    (void)state;
    char hashed[64];
    (void)snprintf(hashed, sizeof hashed, "%s", path("hashed"));
    assert_int_equal(mkdir(hashed, 0700), 0);
    write_pem("hashed/stranger", &stranger, NULL);
    rehash(hashed);
    connect_with_directory(hashed, "certificate: unable to get local issuer certificate");
    write_pem("hashed/authority", &authority, NULL);
    connect_with_directory(hashed, "certificate: unable to get local issuer certificate");
    rehash(hashed);
    connect_with_directory(hashed, NULL);
    connect_with_directory(path("authority.pem"), "/authority.pem\": Not a directory");
    remove_directory(hashed);
    connect_with_directory(hashed, "/hashed\": No such file or directory");
}

static void an_unknown_authority_is_refused(void **state)
{
    (void)state;
    struct server server;
    start(&server, &localhost, "localhost");
    server.client.settings.tls.ca = pem_of(&stranger, NULL);
    connect_and_fail(&server, "certificate: unable to get local issuer certificate");
    stop(&server);
    /* Without options: the system's authorities do not know ours either. */
    start(&server, &localhost, "localhost");
    server.client.settings.has_tls = false;
    connect_and_fail(&server, "certificate: ");
    stop(&server);
}

static void a_wrong_name_is_refused(void **state)
{
    (void)state;
    struct server server;
    start(&server, &other_name, "localhost");
    connect_and_fail(&server, "certificate: hostname mismatch");
    stop(&server);
    start(&server, &other_name, "127.0.0.1");
    connect_and_fail(&server, "certificate: IP address mismatch");
    stop(&server);
}

static void an_expired_certificate_is_refused(void **state)
{
    (void)state;
    struct server server;
    start(&server, &expired, "localhost");
    connect_and_fail(&server, "certificate has expired");
    stop(&server);
}

static void the_server_name_may_differ_from_the_url(void **state)
{
    (void)state;
    struct server server;
    start(&server, &other_name, "127.0.0.1");
    server.client.settings.tls.server_name = "hub.example";
    connect_and_echo(&server);
    assert_string_equal(server.sni, "hub.example");
    stop(&server);
}

static void insecure_takes_what_it_says_and_no_more(void **state)
{
    (void)state;
    struct server server;
    start(&server, &expired, "127.0.0.1");
    server.client.settings.tls.ca = pem_of(&stranger, NULL);
    server.client.settings.tls.insecure_skip_verify = true;
    connect_and_echo(&server);
    stop(&server);
    start(&server, &other_name, "localhost");
    server.client.settings.tls.insecure_skip_verify_host = true;
    connect_and_echo(&server);
    stop(&server);
    start(&server, &expired, "localhost");
    server.client.settings.tls.insecure_skip_verify_host = true;
    connect_and_fail(&server, "expired");
    stop(&server);
}

static void ask_for_certificate(struct server *server)
{
    X509_STORE *store = SSL_CTX_get_cert_store(server->context);
    assert_int_equal(X509_STORE_add_cert(store, authority.certificate), 1);
    SSL_CTX_set_verify(server->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static void a_client_shows_its_certificate(void **state)
{
    (void)state;
    struct server server;
    start(&server, &localhost, "localhost");
    ask_for_certificate(&server);
    server.client.settings.tls.cert_file = path("person.pem");
    server.client.settings.tls.key_file = path("person.key");
    server.client.settings.tls.key_password = "secret";
    connect_and_echo(&server);
    stop(&server);
}

/* In TLS 1.3 the client has long finished when it is refused. */
static void a_client_without_certificate_is_told_why_it_was_refused(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        struct server server;
        start(&server, &localhost, "localhost");
        assert_int_equal(SSL_CTX_set_max_proto_version(server.context, versions[i]), 1);
        ask_for_certificate(&server);
        connect_and_fail(&server, versions[i] == TLS1_2_VERSION ? "handshake failure"
                                                                : "certificate required");
        stop(&server);
    }
}

static void broken_options_name_the_option_and_the_reason(void **state)
{
    (void)state;
    struct server server;
    start(&server, &localhost, "localhost");
    server.client.settings.tls.ca_file = "/nonexistent/ca.pem";
    connect_and_fail(&server, "tls.ca_file \"/nonexistent/ca.pem\": No such file");
    assert_int_equal(server.client.error.err, WH_EINVAL);
    stop(&server);
    start(&server, &localhost, "localhost");
    server.client.settings.tls.ca = (struct wh_data){.ptr = "nonsense", .len = 8};
    connect_and_fail(&server, "tls.ca: ");
    stop(&server);
    start(&server, &localhost, "localhost");
    server.client.settings.tls.cert_file = path("person.pem");
    server.client.settings.tls.key_file = path("person.key");
    server.client.settings.tls.key_password = "wrong";
    connect_and_fail(&server, "tls.key_file");
    assert_null(strstr(server.client.error.text, "wrong\""));
    stop(&server);
    start(&server, &localhost, "localhost");
    server.client.settings.tls.cert_file = path("person.pem");
    server.client.settings.tls.key_file = path("authority.key");
    connect_and_fail(&server, "tls.key_file");
    stop(&server);
    start(&server, &localhost, "localhost");
    server.client.settings.tls.ciphers = "NOSUCH";
    connect_and_fail(&server, "tls.ciphers \"NOSUCH\": no cipher match");
    stop(&server);
}

static void tls_older_than_1_2_is_refused(void **state)
{
    (void)state;
    struct server server;
    start(&server, &localhost, "localhost");
    assert_int_equal(SSL_CTX_set_cipher_list(server.context, "DEFAULT:@SECLEVEL=0"), 1);
    assert_int_equal(SSL_CTX_set_min_proto_version(server.context, TLS1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(server.context, TLS1_1_VERSION), 1);
    connect_and_fail(&server, "protocol version");
    stop(&server);
}

static void http_script(struct raw_stream *stream, void *user)
{
    (void)user;
    (void)raw_write_text(stream, "HTTP/1.1 400 Bad Request\r\n\r\n");
    raw_wait_end(stream);
}

static void end_script(struct raw_stream *stream, void *user)
{
    char byte;
    (void)user;
    (void)raw_read(stream, &byte, 1);
}

static void wait_script(struct raw_stream *stream, void *user)
{
    (void)user;
    raw_wait_end(stream);
}

static void a_server_without_tls_is_told(void **state)
{
    (void)state;
    static const struct {
        raw_script *script;
        const char *says;
    } cases[] = {
        {http_script, "TLS: wrong version number"},
        {end_script, "TLS: "},
        {wait_script, "no end of the TLS handshake"},
    };
    for (size_t i = 0; i < 3; i++) {
        struct server server = {0};
        char url[64];
        server.peer = raw_peer_start(cases[i].script, NULL, NULL);
        (void)snprintf(url, sizeof url, "wss://127.0.0.1:%u/", raw_peer_port(server.peer));
        fake_client_init(&server.client, service, url);
        if (cases[i].script == wait_script)
            server.client.settings.connect_timeout_ms = 100;
        connect_and_fail(&server, cases[i].says);
        stop(&server);
    }
}

static void reset_script(struct raw_stream *stream, void *user)
{
    const struct linger reset = {.l_onoff = 1};
    int *fds = user;
    if (!raw_read_request(stream) || !raw_upgrade(stream, NULL))
        return;
    (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)shutdown(stream->fd, SHUT_RDWR);
    (void)!write(fds[1], "", 1);
}

/* SIGPIPE kills in this program. */
static void writing_to_a_peer_that_is_gone_raises_no_signal(void **state)
{
    (void)state;
    static char payload[1 << 20];
    for (int i = 0; i < 20; i++) {
        struct server server;
        char byte;
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        start(&server, &localhost, "localhost");
        raw_peer_stop(server.peer);
        fake_client_deinit(&server.client);
        server.peer = raw_peer_start(reset_script, fds, server.context);
        char url[64];
        (void)snprintf(url, sizeof url, "wss://localhost:%u/", raw_peer_port(server.peer));
        fake_client_init(&server.client, service, url);
        server.client.settings.has_tls = true;
        server.client.settings.tls = (struct wh_tls_options)WH_TLS_OPTIONS_INIT;
        server.client.settings.tls.ca = pem_of(&authority, NULL);
        fake_open(&server.client);
        pump(&server.client.opened);
        assert_int_equal(read(fds[0], &byte, 1), 1);
        for (int frame = 0; frame < 4; frame++)
            fake_send(&server.client, payload, sizeof payload);
        pump(&server.client.closed);
        stop(&server);
        (void)close(fds[0]);
        (void)close(fds[1]);
    }
}

static void transports_can_be_freed_in_every_state(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        struct server server;
        start(&server, i % 3 ? &localhost : &other_name, i % 2 ? "localhost" : "127.0.0.1");
        server.client.settings.close_timeout_ms = 1 + i;
        fake_open(&server.client);
        for (unsigned turn = 0; turn < i / 4; turn++)
            service_run(service, turn % 4);
        if (i % 2)
            fake_close(&server.client, 1000, "");
        stop(&server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_authority_and_the_right_name_connect),
        cmocka_unit_test(a_literal_is_checked_but_not_named),
        cmocka_unit_test(authorities_may_come_in_a_file_or_be_several),
        cmocka_unit_test(authorities_may_lie_in_a_directory),
        cmocka_unit_test(an_unknown_authority_is_refused),
        cmocka_unit_test(a_wrong_name_is_refused),
        cmocka_unit_test(an_expired_certificate_is_refused),
        cmocka_unit_test(the_server_name_may_differ_from_the_url),
        cmocka_unit_test(insecure_takes_what_it_says_and_no_more),
        cmocka_unit_test(a_client_shows_its_certificate),
        cmocka_unit_test(a_client_without_certificate_is_told_why_it_was_refused),
        cmocka_unit_test(broken_options_name_the_option_and_the_reason),
        cmocka_unit_test(tls_older_than_1_2_is_refused),
        cmocka_unit_test(a_server_without_tls_is_told),
        cmocka_unit_test(writing_to_a_peer_that_is_gone_raises_no_signal),
        cmocka_unit_test(transports_can_be_freed_in_every_state),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
