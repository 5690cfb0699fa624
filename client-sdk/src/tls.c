/*
 * libwebsockets makes the SSL objects (from our SSL_CTX) and tells nobody about them; the info
 * callback sees each when its handshake starts, and prepares it there.  libwebsockets 4.1 sets SNI
 * and its verify callback before that, so ours win.
 *
 * Writes to a TLS connection whose peer is gone would raise SIGPIPE, since OpenSSL's socket BIO
 * uses write().  A library on the program's own loop may neither ignore that signal for it nor
 * kill it: the BIO that we put in its place uses send() with MSG_NOSIGNAL.
 */
#include "client-sdk/src/tls.h"

#include "common/base/alloc.h"

#include <errno.h>
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

struct tls {
    SSL_CTX *context;
    bool is_verify_skipped;
    bool is_host_skipped;
    char reason[160];
    char name[]; /* for SNI and verification */
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

static void write_quietly(SSL *ssl)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_quiet_method);
    BIO *bio = quiet_method ? BIO_new(quiet_method) : NULL;
    if (!bio)
        return;
    BIO_set_data(bio, (void *)(intptr_t)SSL_get_fd(ssl));
    BIO_set_init(bio, 1);
    SSL_set0_wbio(ssl, bio);
}

/* ---- handshakes ---------------------------------------------------------------------------- */

static void set_reason(struct tls *tls, const char *what, const char *why)
{
    if (!tls->reason[0])
        (void)snprintf(tls->reason, sizeof tls->reason, "%s%s", what, why ? why : "unknown");
}

static int on_verify(int is_ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (is_ok)
        return 1;
    if (tls->is_verify_skipped) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    set_reason(tls, "the server's certificate: ",
               X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
    return 0;
}

static void prepare(SSL *ssl, struct tls *tls)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    bool is_checked = !tls->is_verify_skipped && !tls->is_host_skipped;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(tls->name);
    if (address) {
        /* RFC 6066 §3: no literals in SNI. */
        (void)SSL_set_tlsext_host_name(ssl, NULL);
        if (is_checked)
            (void)X509_VERIFY_PARAM_set1_ip_asc(param, tls->name);
        ASN1_OCTET_STRING_free(address);
    } else {
        ERR_clear_error();
        (void)SSL_set_tlsext_host_name(ssl, tls->name);
        if (is_checked)
            (void)X509_VERIFY_PARAM_set1_host(param, tls->name, 0);
    }
    SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verify);
    write_quietly(ssl);
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
    struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if ((where & SSL_CB_HANDSHAKE_START) && SSL_get_verify_callback(ssl) != on_verify) {
        tls->reason[0] = 0;
        prepare((SSL *)(uintptr_t)ssl, tls);
    }
    /* TLS 1.3 servers refuse a client's certificate when the handshake is over for the client. */
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && ret >> 8 == SSL3_AL_FATAL)
        set_reason(tls, "", alert_text(ret & 0xff));
    if ((where & SSL_CB_EXIT) && ret <= 0 && ERR_peek_last_error() != 0)
        set_reason(tls, "", ERR_reason_error_string(ERR_peek_last_error()));
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

static enum wh_err load_authorities(SSL_CTX *context,
                                    const struct wh_tls_options *options,
                                    struct wh_error *detail)
{
    if (options->ca_file && SSL_CTX_load_verify_file(context, options->ca_file) != 1)
        return refuse(detail, "ca_file", options->ca_file);
    if (options->ca_dir && SSL_CTX_load_verify_dir(context, options->ca_dir) != 1)
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
    SSL_CTX_set_app_data(tls->context, tls);
    SSL_CTX_set_info_callback(tls->context, on_info);
    (void)SSL_CTX_set_options(tls->context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(tls->context,
                           SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
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

enum wh_err tls_new(const struct wh_tls_options *options,
                    const char *host,
                    struct tls **out_tls,
                    struct wh_error *detail)
{
    static const struct wh_tls_options defaults = WH_TLS_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    const char *name = options->server_name ? options->server_name : host;
    size_t name_size = strlen(name) + 1;
    struct tls *tls = wh_calloc(1, sizeof *tls + name_size);
    ERR_clear_error();
    if (tls)
        tls->context = SSL_CTX_new(TLS_client_method());
    if (!tls || !tls->context) {
        wh_free(tls);
        if (detail)
            *detail = (struct wh_error){.err = WH_ENOMEM, .text = "out of memory"};
        return WH_ENOMEM;
    }
    memcpy(tls->name, name, name_size);
    tls->is_verify_skipped = options->insecure_skip_verify;
    tls->is_host_skipped = options->insecure_skip_verify_host;
    enum wh_err err = configure(tls, options, detail);
    if (err != WH_OK) {
        tls_free(tls);
        return err;
    }
    *out_tls = tls;
    return WH_OK;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_set_info_callback(tls->context, NULL);
    SSL_CTX_free(tls->context);
    wh_free(tls);
}

void *tls_context(struct tls *tls)
{
    return tls->context;
}

void tls_take_reason(struct tls *tls, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", tls->reason);
    tls->reason[0] = 0;
}

static void add_text(struct wh_buf *out, const char *text)
{
    wh_buf_append_char(out, text ? '=' : '-');
    if (text)
        wh_buf_append(out, text, strlen(text) + 1);
}

void tls_key(const struct wh_tls_options *options, const char *host, struct wh_buf *out)
{
    static const struct wh_tls_options defaults = WH_TLS_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    add_text(out, options->server_name ? options->server_name : host);
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
