/*
 * OpenSSL's socket BIO uses write(), which raises SIGPIPE where the peer is gone.  A library on the
 * program's own loop may neither ignore that signal for it nor kill it: the BIO that we put in its
 * place uses send() with MSG_NOSIGNAL.
 */
#include "client-sdk/src/tls.h"

#include "common/base/alloc.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct tls {
    struct wh_list link; /* of those that tls_acquire knows */
    unsigned refs;
    struct wh_buf key; /* what makes it different */
    SSL_CTX *context;
    bool is_verify_skipped;
    bool is_host_skipped;
    char name[]; /* for SNI and verification */
};

struct tls_session {
    struct tls *tls; /* borrowed */
    SSL *ssl;
    bool is_ready;  /* the handshake is over */
    bool is_broken; /* nothing may be sent any more */
    char reason[160];
};

/* ---- a socket BIO without SIGPIPE ---------------------------------------------------------- */

static BIO_METHOD *quiet_method;

static int quiet_write(BIO *bio, const char *bytes, int len)
{
    int fd = (int)(intptr_t)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t written = send(fd, bytes, (size_t)len, MSG_NOSIGNAL);
    if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)written;
}

static long quiet_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static void make_quiet_method(void)
{
    quiet_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wirehub socket");
    if (!quiet_method)
        return;
    (void)BIO_meth_set_write(quiet_method, quiet_write);
    (void)BIO_meth_set_ctrl(quiet_method, quiet_ctrl);
}

static bool write_quietly(SSL *ssl, int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_quiet_method);
    BIO *bio = quiet_method ? BIO_new(quiet_method) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, (void *)(intptr_t)fd);
    BIO_set_init(bio, 1);
    SSL_set0_wbio(ssl, bio);
    return true;
}

/* ---- handshakes ---------------------------------------------------------------------------- */

static void set_reason(struct tls_session *session, const char *what, const char *why)
{
    if (!session->reason[0])
        (void)snprintf(session->reason, sizeof session->reason, "%s%s", what,
                       why ? why : "unknown");
}

static int on_verify(int is_ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *session = SSL_get_app_data(ssl);
    if (is_ok)
        return 1;
    if (session->tls->is_verify_skipped) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    set_reason(session, "the server's certificate: ",
               X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
    return 0;
}

static bool prepare(SSL *ssl, const struct tls *tls)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    bool is_checked = !tls->is_verify_skipped && !tls->is_host_skipped, is_fine = true;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(tls->name);
    if (address) {
        /* RFC 6066 §3: no literals in SNI. */
        if (is_checked)
            is_fine = X509_VERIFY_PARAM_set1_ip_asc(param, tls->name) == 1;
        ASN1_OCTET_STRING_free(address);
    } else {
        ERR_clear_error();
        is_fine = SSL_set_tlsext_host_name(ssl, tls->name) == 1;
        if (is_checked && X509_VERIFY_PARAM_set1_host(param, tls->name, 0) != 1)
            is_fine = false;
    }
    SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verify);
    return is_fine;
}

/* The texts of errors know more alerts than SSL_alert_desc_string_long does. */
static const char *alert_text(int alert)
{
    const char *text =
        ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + (unsigned)alert));
    return text ? text : SSL_alert_desc_string_long(alert);
}

static void on_info(const SSL *ssl, int where, int ret)
{
    struct tls_session *session = SSL_get_app_data(ssl);
    if (!session)
        return;
    /* TLS 1.3 servers refuse a client's certificate when the handshake is over for the client. */
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && ret >> 8 == SSL3_AL_FATAL)
        set_reason(session, "", alert_text(ret & 0xff));
    if ((where & SSL_CB_EXIT) && ret <= 0 && ERR_peek_last_error() != 0)
        set_reason(session, "", ERR_reason_error_string(ERR_peek_last_error()));
}

enum wh_err tls_session_new(struct tls *tls, int fd, struct tls_session **out_session)
{
    struct tls_session *session = wh_calloc(1, sizeof *session);
    if (!session)
        return WH_ENOMEM;
    ERR_clear_error();
    session->tls = tls;
    session->ssl = SSL_new(tls->context);
    if (session->ssl && SSL_set_fd(session->ssl, fd) == 1 && write_quietly(session->ssl, fd) &&
        prepare(session->ssl, tls)) {
        (void)SSL_set_app_data(session->ssl, session);
        SSL_set_connect_state(session->ssl);
        *out_session = session;
        return WH_OK;
    }
    SSL_free(session->ssl);
    wh_free(session);
    ERR_clear_error();
    return WH_ENOMEM;
}

/* What an operation that gave no bytes means: 0 = later, −1 = over. */
static int judge(struct tls_session *session, int result, bool *wants_write)
{
    int error = SSL_get_error(session->ssl, result);
    if (error == SSL_ERROR_WANT_READ)
        return 0;
    if (error == SSL_ERROR_WANT_WRITE) {
        *wants_write = true;
        return 0;
    }
    if (error == SSL_ERROR_SSL)
        set_reason(session, "", ERR_reason_error_string(ERR_peek_last_error()));
    if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL)
        session->is_broken = true;
    ERR_clear_error();
    return -1;
}

int tls_handshake(struct tls_session *session, bool *wants_write)
{
    ERR_clear_error();
    int result = SSL_do_handshake(session->ssl);
    if (result != 1)
        return judge(session, result, wants_write);
    session->is_ready = true;
    return 1;
}

ssize_t tls_read(struct tls_session *session, void *bytes, size_t size, bool *wants_write)
{
    ERR_clear_error();
    int count = SSL_read(session->ssl, bytes, size < INT_MAX ? (int)size : INT_MAX);
    return count > 0 ? count : judge(session, count, wants_write);
}

ssize_t tls_write(struct tls_session *session, const void *bytes, size_t len, bool *wants_write)
{
    ERR_clear_error();
    int count = SSL_write(session->ssl, bytes, len < INT_MAX ? (int)len : INT_MAX);
    return count > 0 ? count : judge(session, count, wants_write);
}

bool tls_has_pending(const struct tls_session *session)
{
    return SSL_has_pending(session->ssl) == 1;
}

const char *tls_reason(const struct tls_session *session)
{
    return session->reason;
}

void tls_session_free(struct tls_session *session)
{
    if (!session)
        return;
    if (session->is_ready && !session->is_broken) {
        ERR_clear_error();
        (void)SSL_shutdown(session->ssl);
    }
    SSL_free(session->ssl);
    ERR_clear_error();
    wh_free(session);
}

/* ---- configuration ------------------------------------------------------------------------- */

static enum wh_err refuse(struct wh_error *detail, const char *option, const char *value)
{
    unsigned long code = ERR_peek_error();
    const char *why = code ? ERR_reason_error_string(code) : NULL;
    if (code && ERR_SYSTEM_ERROR(code))
        why = strerror(ERR_GET_REASON(code));
    if (detail) {
        *detail = (struct wh_error){.err = WH_EINVAL};
        (void)snprintf(detail->text, sizeof detail->text, "tls.%s%s%.128s%s: %s", option,
                       *value ? " \"" : "", value, *value ? "\"" : "", why ? why : "not usable");
    }
    ERR_clear_error();
    return WH_EINVAL;
}

static enum wh_err load_memory(SSL_CTX *context, struct wh_data pem, struct wh_error *detail)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    size_t count = 0;
    BIO *bio = pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    if (!bio)
        return refuse(detail, "ca", "");
    for (X509 *item; (item = PEM_read_bio_X509(bio, NULL, NULL, NULL)); count++) {
        (void)X509_STORE_add_cert(store, item);
        X509_free(item);
    }
    BIO_free(bio);
    /* The last read found no more: only that may be wrong, and only behind the first. */
    if (count == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return refuse(detail, "ca", "");
    ERR_clear_error();
    return WH_OK;
}

/* OpenSSL looks into it when a certificate asks for its issuer, and does not mind one that is not
 * there. */
static bool is_directory(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0)
        ERR_raise(ERR_LIB_SYS, errno);
    else if (!S_ISDIR(about.st_mode))
        ERR_raise(ERR_LIB_SYS, ENOTDIR);
    else
        return true;
    return false;
}

static enum wh_err load_authorities(SSL_CTX *context,
                                    const struct wh_tls_options *options,
                                    struct wh_error *detail)
{
    if (options->ca_file && SSL_CTX_load_verify_file(context, options->ca_file) != 1)
        return refuse(detail, "ca_file", options->ca_file);
    if (options->ca_dir &&
        (!is_directory(options->ca_dir) || SSL_CTX_load_verify_dir(context, options->ca_dir) != 1))
        return refuse(detail, "ca_dir", options->ca_dir);
    if (options->ca.ptr)
        return load_memory(context, options->ca, detail);
    if (!options->ca_file && !options->ca_dir && SSL_CTX_set_default_verify_paths(context) != 1)
        return refuse(detail, "ca_file", "the system's");
    return WH_OK;
}

static int on_password(char *out, int size, int is_writing, void *user)
{
    const char *password = user;
    (void)is_writing;
    size_t len = password ? strlen(password) : 0;
    if (len > (size_t)size)
        return -1;
    if (len > 0)
        memcpy(out, password, len);
    return (int)len;
}

static enum wh_err load_identity(SSL_CTX *context,
                                 const struct wh_tls_options *options,
                                 struct wh_error *detail)
{
    if (!options->cert_file && !options->key_file)
        return WH_OK;
    if (!options->cert_file || !options->key_file)
        return refuse(detail, "cert_file", "goes together with key_file");
    /* Always ours: OpenSSL's own would ask on the terminal. */
    SSL_CTX_set_default_passwd_cb(context, on_password);
    SSL_CTX_set_default_passwd_cb_userdata(context, (void *)(uintptr_t)options->key_password);
    enum wh_err err = WH_OK;
    if (SSL_CTX_use_certificate_chain_file(context, options->cert_file) != 1)
        err = refuse(detail, "cert_file", options->cert_file);
    else if (SSL_CTX_use_PrivateKey_file(context, options->key_file, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(context) != 1)
        err = refuse(detail, "key_file", options->key_file);
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    return err;
}

#ifdef WH_SDK_KEYLOG
/* For Wireshark; debug builds only. */
static void on_key(const SSL *ssl, const char *line)
{
    (void)ssl;
    const char *name = getenv("SSLKEYLOGFILE");
    FILE *file = name && *name ? fopen(name, "ae") : NULL;
    if (!file)
        return;
    (void)fprintf(file, "%s\n", line);
    (void)fclose(file);
}
#endif

static enum wh_err configure(struct tls *tls,
                             const struct wh_tls_options *options,
                             struct wh_error *detail)
{
    SSL_CTX_set_info_callback(tls->context, on_info);
    (void)SSL_CTX_set_options(tls->context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                             SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                             SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1)
        return refuse(detail, "context", "");
    if (options->ciphers && SSL_CTX_set_cipher_list(tls->context, options->ciphers) != 1)
        return refuse(detail, "ciphers", options->ciphers);
#ifdef WH_SDK_KEYLOG
    SSL_CTX_set_keylog_callback(tls->context, on_key);
#endif
    enum wh_err err = load_authorities(tls->context, options, detail);
    return err == WH_OK ? load_identity(tls->context, options, detail) : err;
}

static void tls_free(struct tls *tls)
{
    SSL_CTX_free(tls->context);
    wh_buf_deinit(&tls->key);
    wh_free(tls);
}

static enum wh_err tls_new(const struct wh_tls_options *options,
                           const char *name,
                           struct tls **out_tls,
                           struct wh_error *detail)
{
    size_t name_size = strlen(name) + 1;
    struct tls *tls = wh_calloc(1, sizeof *tls + name_size);
    ERR_clear_error();
    if (!tls)
        return WH_ENOMEM;
    tls->context = SSL_CTX_new(TLS_client_method());
    if (!tls->context) {
        wh_free(tls);
        ERR_clear_error();
        return WH_ENOMEM;
    }
    memcpy(tls->name, name, name_size);
    tls->is_verify_skipped = options->insecure_skip_verify;
    tls->is_host_skipped = options->insecure_skip_verify_host;
    enum wh_err err = configure(tls, options, detail);
    if (err == WH_OK)
        *out_tls = tls;
    else
        tls_free(tls);
    return err;
}

static void add_text(struct wh_buf *out, const char *text)
{
    wh_buf_append_char(out, text ? '=' : '-');
    if (text)
        wh_buf_append(out, text, strlen(text) + 1);
}

/* What makes this configuration different from others. */
static void write_key(const struct wh_tls_options *options, const char *name, struct wh_buf *out)
{
    add_text(out, name);
    add_text(out, options->ca_file);
    add_text(out, options->ca_dir);
    add_text(out, options->cert_file);
    add_text(out, options->key_file);
    add_text(out, options->key_password);
    add_text(out, options->ciphers);
    wh_buf_printf(out, "%d%d%zu:", options->insecure_skip_verify,
                  options->insecure_skip_verify_host, options->ca.ptr ? options->ca.len : 0);
    if (options->ca.ptr)
        wh_buf_append(out, options->ca.ptr, options->ca.len);
}

static struct tls *find(struct wh_list *known, struct wh_slice key)
{
    WH_LIST_EACH(node, known)
    {
        struct tls *tls = WH_CONTAINER_OF(node, struct tls, link);
        if (wh_slice_equal(wh_buf_slice(&tls->key), key))
            return tls;
    }
    return NULL;
}

enum wh_err tls_acquire(struct wh_list *known,
                        const struct wh_tls_options *options,
                        const char *host,
                        struct tls **out_tls,
                        struct wh_error *detail)
{
    static const struct wh_tls_options defaults = WH_TLS_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    const char *name = options->server_name ? options->server_name : host;
    struct wh_buf key = {0};
    write_key(options, name, &key);
    enum wh_err err = wh_buf_error(&key);
    struct tls *tls = err == WH_OK ? find(known, wh_buf_slice(&key)) : NULL;
    if (err == WH_OK && !tls) {
        err = tls_new(options, name, &tls, detail);
        if (err == WH_OK) {
            tls->key = key;
            key = (struct wh_buf){0};
            wh_list_push_back(known, &tls->link);
        }
    }
    wh_buf_deinit(&key);
    if (err == WH_OK) {
        tls->refs++;
        *out_tls = tls;
    } else if (err == WH_ENOMEM) {
        *detail = (struct wh_error){.err = err, .text = "out of memory"};
    }
    return err;
}

void tls_release(struct tls *tls)
{
    if (!tls || --tls->refs > 0)
        return;
    wh_list_remove(&tls->link);
    tls_free(tls);
}
