#!/bin/sh
# Where `cloud-init devel net-convert --directory DIR` writes netplan's files.
#
# Versions: cloud-init 25.1.4 (Debian 25.1.4-1+deb13u1), netplan 1.1.2 (Debian 1.1.2-7).
# Guess:    below DIR, as it says and as every other kind of output does.
# Seen:     with python3-netplan installed, which netplan.io needs, it replaces the system's own
#           /etc/netplan/50-cloud-init.yaml, says "Wrote output format 'netplan' to 'DIR'", exits
#           0, and leaves DIR without any file.
# Matters:  who only wants to look at what cloud-init would write has rewritten the network
#           configuration of the machine that he looked from, and learns of it at its next boot.
# Needs root, mmdebstrap. Exit code 1: it has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mmdebstrap --quiet --variant=minbase \
    --include=cloud-init=25.1.4-1+deb13u1,netplan.io=1.1.2-7 \
    trixie tree http://deb.debian.org/debian
mkdir -p tree/made
echo "network: {version: 2}" >tree/etc/netplan/50-cloud-init.yaml
chmod 600 tree/etc/netplan/50-cloud-init.yaml
cat >tree/network.yaml <<'END'
network:
  version: 2
  ethernets:
    eth0:
      addresses: [203.0.113.10/24]
END
# KIND DISTRIBUTION
convert() {
    chroot tree cloud-init devel net-convert --network-data /network.yaml --kind yaml \
        --output-kind "$1" --distro "$2" --directory /made 2>&1 | grep ^Wrote
}
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
same "what it says" "Wrote output format 'netplan' to '/made/'" "$(convert netplan ubuntu)"
same "what is below DIR" "" "$(find tree/made -type f)"
same "the system's own file" 'network:
  version: 2
  ethernets:
    eth0:
      addresses:
      - "203.0.113.10/24"' "$(cat tree/etc/netplan/50-cloud-init.yaml)"
convert eni debian >log
same "another kind, below DIR" "tree/made/etc/network/interfaces.d/50-cloud-init" \
    "$(find tree/made -name 50-cloud-init)"
exit "$failed"
