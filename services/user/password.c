/*
 * crypt_r works in 32 KiB that are too much for a stack and hold what was hashed: they come from
 * the heap and are wiped.  Everything that compares takes the same time for all contents.
 */
#include "services/user/password.h"

#include "common/base/random.h"
#include "common/base/utf8.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define YESCRYPT_PREFIX "$y$"

/* "$y$j9T$": the method and its parameters, up to the dollar before the salt. */
static size_t parameters_len(const char *setting)
{
    if (strncmp(setting, YESCRYPT_PREFIX, strlen(YESCRYPT_PREFIX)) != 0)
        return 0;
    const char *end = strchr(setting + strlen(YESCRYPT_PREFIX), '$');
    return end ? (size_t)(end - setting) + 1 : 0;
}

bool password_is_acceptable(struct wh_slice password)
{
    return password.len >= PASSWORD_BYTES_MIN && password.len <= PASSWORD_BYTES_MAX &&
           !memchr(password.ptr, '\0', password.len) && wh_utf8_is_valid(password);
}

/* `password` is cut to what a buffer holds: whoever must refuse a longer one does so himself. */
static enum wh_err crypt_slice(struct wh_slice password,
                               const char *setting,
                               char out_hash[PASSWORD_HASH_MAX])
{
    char phrase[PASSWORD_BYTES_MAX + 1] = {0};
    struct crypt_data *data = calloc(1, sizeof(*data));
    if (!data)
        return WH_ENOMEM;
    size_t len = password.len < PASSWORD_BYTES_MAX ? password.len : PASSWORD_BYTES_MAX;
    if (len > 0)
        memcpy(phrase, password.ptr, len);
    const char *hash = crypt_r(phrase, setting, data);
    /* What fails is told by NULL or by a text that starts with an asterisk, crypt(3). */
    bool is_hashed = hash && hash[0] != '*' && strlen(hash) < PASSWORD_HASH_MAX;
    if (is_hashed)
        memcpy(out_hash, hash, strlen(hash) + 1);
    OPENSSL_cleanse(phrase, sizeof(phrase));
    OPENSSL_cleanse(data, sizeof(*data));
    free(data);
    return is_hashed ? WH_OK : WH_EFORMAT;
}

enum wh_err password_hash(struct wh_slice password, unsigned cost, char out_hash[PASSWORD_HASH_MAX])
{
    if (!password_is_acceptable(password) || cost < PASSWORD_COST_MIN || cost > PASSWORD_COST_MAX)
        return WH_EINVAL;
    char *setting = crypt_gensalt_ra(YESCRYPT_PREFIX, cost, NULL, 0);
    if (!setting)
        return WH_EINVAL;
    enum wh_err err = crypt_slice(password, setting, out_hash);
    free(setting);
    return err == WH_EFORMAT ? WH_EINVAL : err;
}

enum wh_err password_verify(struct wh_slice password, const char *hash)
{
    char computed[PASSWORD_HASH_MAX] = {0};
    char stored[PASSWORD_HASH_MAX] = {0};
    if (parameters_len(hash) == 0 || strlen(hash) >= sizeof(stored))
        return WH_EFORMAT;
    memcpy(stored, hash, strlen(hash));
    enum wh_err err = crypt_slice(password, hash, computed);
    if (!err) {
        bool is_same = CRYPTO_memcmp(computed, stored, sizeof(stored)) == 0;
        err = is_same && password_is_acceptable(password) ? WH_OK : WH_EDENIED;
    }
    OPENSSL_cleanse(computed, sizeof(computed));
    OPENSSL_cleanse(stored, sizeof(stored));
    return err;
}

bool password_is_outdated(const char *hash, unsigned cost)
{
    char *setting = crypt_gensalt_ra(YESCRYPT_PREFIX, cost, NULL, 0);
    if (!setting)
        return false;
    size_t len = parameters_len(setting);
    bool is_outdated = parameters_len(hash) != len || strncmp(hash, setting, len) != 0;
    free(setting);
    return is_outdated;
}

enum wh_err password_dummy(unsigned cost, char out_hash[PASSWORD_HASH_MAX])
{
    char nobody_knows[33];
    wh_random_letters(nobody_knows, sizeof(nobody_knows) - 1);
    enum wh_err err = password_hash(wh_slice_from_str(nobody_knows), cost, out_hash);
    OPENSSL_cleanse(nobody_knows, sizeof(nobody_knows));
    return err;
}
