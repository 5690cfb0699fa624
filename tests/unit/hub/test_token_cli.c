/* The verbs as a shell sees them: arguments and files in, text and exit status out. */
#include "common/base/clock.h"
#include "hub/auth.h"

#include "tests/support/forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { ARGS_MAX = 16 };

typedef int verb_main(int argc, char **argv);

static char folder[] = "/tmp/wirehub-test-XXXXXX";
static char output[32 * 1024]; /* what the last run wrote, both streams */
static char secret_path[128], other_path[128], private_path[128], public_path[128];
static char p384_path[128], p384_public_path[128];
static const char secret[] = "a secret of more than thirty-two bytes";

static void write_file(char path[128], const char *name, const char *text)
{
    snprintf(path, 128, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void write_pair(EVP_PKEY *key, char private_out[128], char public_out[128], const char *name)
{
    char *private_pem = forge_pem(key, true), *public_pem = forge_pem(key, false);
    char file[64];
    write_file(private_out, name, private_pem);
    snprintf(file, sizeof(file), "%s.pub", name);
    write_file(public_out, file, public_pem);
    free(private_pem);
    free(public_pem);
    EVP_PKEY_free(key);
}

static int setup(void **state)
{
    (void)state;
    wh_clock_set_fake(0, INT64_C(1700000000000));
    assert_non_null(mkdtemp(folder));
    write_file(secret_path, "secret", "a secret of more than thirty-two bytes\n");
    write_file(other_path, "other", "another secret of more than thirty-two bytes");
    write_pair(EVP_RSA_gen(2048), private_path, public_path, "rsa");
    write_pair(EVP_EC_gen("P-384"), p384_path, p384_public_path, "p384");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    const char *const paths[] = {secret_path, other_path, private_path,
                                 public_path, p384_path,  p384_public_path};
    for (size_t i = 0; i < COUNT(paths); i++)
        unlink(paths[i]);
    return rmdir(folder);
}

/* Run a verb with `input` as standard input; the words end with NULL. */
static int run(verb_main *verb, const char *input, const char *const *words)
{
    char *argv[ARGS_MAX + 1] = {0};
    int argc = 0;
    while (words[argc]) {
        assert_true(argc < ARGS_MAX);
        argv[argc] = strdup(words[argc]);
        argc++;
    }
    FILE *in = tmpfile(), *out = tmpfile();
    fputs(input, in);
    rewind(in);
    fflush(NULL);
    int kept[3] = {dup(0), dup(1), dup(2)};
    dup2(fileno(in), 0);
    dup2(fileno(out), 1);
    dup2(fileno(out), 2);
    clearerr(stdin);
    int status = verb(argc, argv);
    fflush(NULL);
    for (int fd = 0; fd < 3; fd++) {
        dup2(kept[fd], fd);
        close(kept[fd]);
    }
    rewind(out);
    output[fread(output, 1, sizeof(output) - 1, out)] = '\0';
    fclose(in);
    fclose(out);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return status;
}

#define RUN(verb, input, ...) run(verb, input, (const char *const[]){__VA_ARGS__, NULL})

static void assert_says(const char *text)
{
    if (!strstr(output, text))
        fail_msg("'%s' is not in: %s", text, output);
    assert_null(strstr(output, secret));
}

/* The token that the last run printed. */
static char *take_token(void)
{
    output[strcspn(output, "\n")] = '\0';
    char *token = strdup(output);
    assert_non_null(token);
    return token;
}

static void a_generated_token_checks_as_valid(void **state)
{
    (void)state;
    assert_int_equal(RUN(token_generate_main, "", "gen-token", "--secret-file", secret_path,
                         "--user", "42", "--info", "{\"name\":\"Ann\"}", "--channel", "news",
                         "--channel", "a\"b", "--claim", "role=admin", "--claim", "age=5"),
                     0);
    char *token = take_token();
    assert_int_equal(RUN(token_check_main, "", "check-token", "--secret-file", secret_path, token),
                     0);
    assert_says("verdict: valid\n");
    assert_says("kind:    connection token\n");
    assert_says("key:     hmac_secret_key (HS256)\n");
    assert_says("user:    42\n");
    assert_says("expires: in 1 hour (2023-11-14 23:13:20 UTC)\n");
    assert_says("\"channels\":[\"news\",\"a\\\"b\"]");
    assert_says("\"role\":\"admin\"");
    assert_says("\"age\":5");
    assert_says("\"info\":{\"name\":\"Ann\"}");
    assert_int_equal(RUN(token_check_main, "", "check-token", "--secret-file", other_path, token),
                     1);
    assert_says("verdict: not valid: the signature");
    assert_null(strstr(output, "\"role\"")); /* nothing of a forged token is shown as a claim */
    free(token);
}

static void a_token_is_read_from_standard_input_too(void **state)
{
    (void)state;
    assert_int_equal(RUN(token_generate_subscription_main, "", "gen-sub-token", "--secret-file",
                         secret_path, "--channel", "$x", "--ttl", "0", "--alg", "HS512"),
                     0);
    assert_int_equal(output[strlen(output) - 1], '\n');
    char *token = strdup(output);
    assert_int_equal(RUN(token_check_main, token, "check-token", "--secret-file", secret_path), 0);
    assert_says("kind:    subscription token\n");
    assert_says("(HS512)");
    assert_says("user:    anonymous\n");
    assert_says("expires: never\n");
    assert_int_equal(RUN(token_check_main, " \n", "check-token", "--secret-file", secret_path), 2);
    assert_says("there is no token");
    free(token);
}

static void private_keys_sign_with_the_algorithm_that_fits(void **state)
{
    (void)state;
    const struct {
        const char *private_path, *public_path, *alg, *expected;
    } cases[] = {
        {private_path, public_path, NULL, "rsa_public_key (RS256)"},
        {private_path, public_path, "RS512", "rsa_public_key (RS512)"},
        {p384_path, p384_public_path, NULL, "ecdsa_public_key (ES384)"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *alg = cases[i].alg;
        assert_int_equal(RUN(token_generate_main, "", "gen-token", "--key-file",
                             cases[i].private_path, alg ? "--alg" : NULL, alg),
                         0);
        char *token = take_token();
        assert_int_equal(
            RUN(token_check_main, "", "check-token", "--key-file", cases[i].public_path, token), 0);
        assert_says(cases[i].expected);
        free(token);
    }
}

static void old_tokens_say_when_they_ended(void **state)
{
    (void)state;
    assert_int_equal(RUN(token_generate_main, "", "gen-token", "--secret-file", secret_path,
                         "--claim", "exp=1699827200"),
                     0);
    char *token = take_token();
    assert_int_equal(RUN(token_check_main, "", "check-token", "--secret-file", secret_path, token),
                     1);
    assert_says("verdict: not valid: it has expired");
    assert_says("expired: 2 days ago (2023-11-12 22:13:20 UTC)\n");
    free(token);
}

static void mistakes_are_explained(void **state)
{
    (void)state;
    static const char gen[] = "gen-token", file[] = "--secret-file";
    const struct {
        const char *words[8];
        const char *text;
    } cases[] = {
        {{gen, file, "/nowhere"}, "cannot be opened"},
        {{gen, file, secret_path, "--key-file", private_path}, "exclude each other"},
        {{gen, file, secret_path, "--alg", "none"}, "--alg is not known"},
        {{gen, file, secret_path, "--alg", "RS256"}, "another kind"},
        {{gen, "--key-file", p384_path, "--alg", "ES256"}, "another kind"},
        {{gen, "--key-file", public_path}, "no readable PEM private key"},
        {{gen, file, public_path}, "is a PEM key, not a shared secret"},
        {{gen, file, secret_path, "--ttl", "soon"}, "--ttl takes"},
        {{gen, file, secret_path, "--ttl", "366d"}, "--ttl takes"},
        {{gen, file, secret_path, "--ttl", "-5"}, "--ttl takes"},
        {{gen, file, secret_path, "--ttl", "99999999999999999999"}, "--ttl takes"},
        {{gen, file, secret_path, "--info", "{"}, "not JSON"},
        {{gen, file, secret_path, "--claim", "role"}, "NAME=VALUE"},
        {{gen, file, secret_path, "42"}, "unexpected argument: 42"},
        {{gen, file, secret_path, "--nosuch"}, "Try: wirehub gen-token --help"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(run(token_generate_main, "", cases[i].words), 2);
        assert_says(cases[i].text);
    }
    assert_int_equal(RUN(token_generate_subscription_main, "", "gen-sub-token", file, secret_path),
                     2);
    assert_says("exactly one --channel");
}

static void help_teaches_by_an_example(void **state)
{
    (void)state;
    assert_int_equal(RUN(token_generate_main, "", "gen-token", "--help"), 0);
    assert_says("wirehub gen-token -c wirehub.yaml --user 42");
    assert_int_equal(RUN(token_generate_subscription_main, "", "gen-sub-token", "-h"), 0);
    assert_says("wirehub gen-sub-token -c wirehub.yaml --user 42");
    assert_int_equal(RUN(token_check_main, "", "check-token", "--help"), 0);
    assert_says("| wirehub check-token -c wirehub.yaml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_generated_token_checks_as_valid),
        cmocka_unit_test(a_token_is_read_from_standard_input_too),
        cmocka_unit_test(private_keys_sign_with_the_algorithm_that_fits),
        cmocka_unit_test(old_tokens_say_when_they_ended),
        cmocka_unit_test(mistakes_are_explained),
        cmocka_unit_test(help_teaches_by_an_example),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
