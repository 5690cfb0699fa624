#!/bin/sh
# ./dev package [--no-chroot]: Debian packages in build/package/packages, looked at by lintian, then installed in a
# clean Debian and used there.
set -u
. tools/common.sh

usage="usage: ./dev package [--no-chroot]"
in_chroot=yes
case ${1-} in
'') ;;
--no-chroot) in_chroot='' ;;
*) die "unknown option $1; $usage" ;;
esac

need build package
packages=build/package/packages
# Reproducible: the time of the last commit, not of the build.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
run cmake --preset release -B build/package -D WH_BUILD_TESTS=OFF -D WH_BUILD_HUB=OFF \
    -D WH_BUILD_SERVICES=OFF -D CMAKE_INSTALL_PREFIX=/usr \
    -D CMAKE_INSTALL_LIBDIR="lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)" || die "configuring failed"
run cmake --build build/package || die "building failed"
rm -rf "$packages"
(run cd build/package && run cpack) || die "packing failed"

# The project has no public address and no bug numbers of Debian yet; CPack calls ldconfig itself beside
# the trigger.
run lintian --fail-on error,warning --allow-root --suppress-tags \
    bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs,maintscript-calls-ldconfig \
    \
    "$packages"/*.deb || die "lintian is not content"

[ -n "$in_chroot" ] || { say "packages in $packages"; exit 0; }
[ "$(id -u)" -eq 0 ] || die "the clean Debian needs root: ./dev package --no-chroot builds only"
root=$(mktemp -d) || die "no temporary directory"
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
run mmdebstrap --quiet --variant=minbase --include=gcc,libc6-dev,pkg-config bookworm "$root" || die "no clean Debian"
cp "$packages"/*.deb client-sdk/examples/hello.c tools/package_check.sh "$root/tmp/"
# apt resolves what they depend on; its cache of lists is that of mmdebstrap.
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null
for file in /etc/apt/apt.conf.d/*; do # how this machine reaches the archive
    [ ! -f "$file" ] || cp -n "$file" "$root/etc/apt/apt.conf.d/"
done
run chroot "$root" sh /tmp/package_check.sh || die "the packages do not work in a clean Debian"
say "packages in $packages, installed and used in a clean Debian"
