#include "hub/pem_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void a_path_stays_a_path(void **state)
{
    (void)state;
    static const char *const values[] = {"/etc/ssl/cert.pem", "BEGIN.pem", "", NULL};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct pem_file file;
        const char *path = NULL;
        assert_true(pem_file_open(&file, values[i], &path));
        assert_ptr_equal(path, values[i]);
        pem_file_close(&file);
    }
}

static void text_can_be_read_as_a_file_until_it_is_closed(void **state)
{
    (void)state;
    static const char text[] = "# first\n-----BEGIN CERTIFICATE-----\nMII=\n";
    struct pem_file file;
    const char *path = NULL;
    assert_true(pem_file_open(&file, text, &path));
    char read_back[sizeof(text)] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, read_back, sizeof(read_back)), strlen(text));
    assert_string_equal(read_back, text);
    close(fd);
    pem_file_close(&file);
    assert_int_equal(open(path, O_RDONLY | O_CLOEXEC), -1);
    pem_file_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_stays_a_path),
        cmocka_unit_test(text_can_be_read_as_a_file_until_it_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
