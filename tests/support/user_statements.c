/* Every statement of the user service, for the test that looks at their plans: name and text, a
 * tab between them, one a line. */
#include "services/user/user_store.h"

#include <stdio.h>

int main(void)
{
    for (const struct user_statement *it = user_statements; it->name; it++)
        printf("%s\t%s\n", it->name, it->sql);
    return 0;
}
