#!/bin/sh
# Reads the hardening of a finished binary back from its ELF headers: hardening.sh BINARY
set -u
binary=$1
failures=0

claim() { # claim WHAT: the exit status of the command before says whether it holds
    if [ "$?" -eq 0 ]; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        failures=$((failures + 1))
    fi
}

header=$(readelf -hW "$binary") || exit 1
segments=$(readelf -lW "$binary")
dynamic=$(readelf -dW "$binary")
symbols=$(readelf -sW "$binary")

echo "$header" | grep -q 'Type:.*DYN' && echo "$dynamic" | grep -q 'FLAGS_1.*PIE'
claim "position independent executable"
echo "$segments" | grep -q GNU_RELRO
claim "relocations read-only after start"
echo "$dynamic" | grep -Eq 'BIND_NOW|FLAGS_1.*NOW'
claim "all symbols bound at start (full RELRO)"
echo "$segments" | grep GNU_STACK | grep -vq 'RWE'
claim "stack not executable"
! echo "$segments" | grep LOAD | grep -q 'RWE'
claim "no segment both writable and executable"
echo "$symbols" | grep -q __stack_chk_fail
claim "stack protector"
echo "$symbols" | grep -Eq '__[a-z]+_chk(@|$)'
claim "fortified C library calls"
! echo "$dynamic" | grep -Eq 'RPATH|RUNPATH'
claim "no library search path of its own"

exit "$((failures > 0))"
