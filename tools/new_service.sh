#!/bin/sh
# ./dev new-service NAME: a new service that builds, runs and answers, with its tests and its page.
set -u
cd "$(dirname "$0")/.." || exit 1
. tools/common.sh

usage() {
    die "usage: ./dev new-service NAME (a-z, 0-9 and '-', beginning with a letter, at most 32)"
}

# Templates hold NAME (reviews), IDENT (reviews, with '_' for '-') and UPPER (REVIEWS).
render() { # render TEMPLATE TARGET
    mkdir -p "$(dirname "$2")" || die "cannot make $(dirname "$2")"
    sed -e "s/@NAME@/$name/g" -e "s/@IDENT@/$ident/g" -e "s/@UPPER@/$upper/g" "$1" >"$2" ||
        die "cannot write $2"
    say "  $2"
}

[ $# -eq 1 ] || usage
name=$1
case $name in
-h | --help) usage ;;
*[!a-z0-9-]* | [!a-z]* | *- | *--* | '') usage ;;
# What the build, the hub and the tests use already.
core | hub | client | testing | all | test) die "the name $name is taken" ;;
esac
[ ${#name} -le 32 ] || usage
ident=$(printf %s "$name" | tr - _)
upper=$(printf %s "$ident" | tr '[:lower:]' '[:upper:]')

templates=tools/new_service
targets="services/$name tests/unit/services/$name
tests/integration/test_service_$ident.py docs/services/$name.md"
for target in $targets; do
    [ ! -e "$target" ] || die "$target is there already; nothing was changed"
done

say "new service $name:"
render $templates/main.c.in "services/$name/main.c"
render $templates/greeting.h.in "services/$name/greeting.h"
render $templates/greeting.c.in "services/$name/greeting.c"
render $templates/test_greeting.c.in "tests/unit/services/$name/test_greeting.c"
render $templates/test_service.py.in "tests/integration/test_service_$ident.py"
render $templates/service.md.in "docs/services/$name.md"
cat >&2 <<END

next:
  ./dev build debug                                  # finds the new folder by itself
  build/debug/bin/wirehub-$name --help
  build/debug/tests/unit_services_${name}_test_greeting
  docs/SERVICES.md                                   # how to go on
END
