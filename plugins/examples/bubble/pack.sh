#!/bin/sh
# Packs an image: pack.sh COMPONENT AGENT IMAGE
#
# The same files give the same image, byte by byte: its ID is what an operator grants something to.
set -eu
component=$1 agent=$2 image=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/rootfs/bin"
install -m 644 "$here/manifest" "$work/manifest"
install -m 644 "$component" "$work/rootfs/plugin.wasm"
install -m 755 "$agent" "$work/rootfs/bin/agent"
chmod 755 "$work/rootfs" "$work/rootfs/bin"
tar --create --file "$image" --directory "$work" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
    --format=gnu manifest rootfs
