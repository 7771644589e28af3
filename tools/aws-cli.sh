#!/usr/bin/env bash
# Makes sure that the installers' tests find an AWS CLI v2, as .venvs/aws2/bin/aws: one on PATH, else the distribution's
# package, of its backports if need be. Where there is none to be had, those tests are skipped; in CI that is a failure.
set -euo pipefail

link=.venvs/aws2/bin/aws
# The first version that takes the address of AWS from AWS_ENDPOINT_URL for every call, so that a test stays local.
oldest=2.13.0
scratch=""
sudo=()

# Tells whether a version is at least another one. Where sort has no -V (old BSDs), it says no.
at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V 2>/dev/null | head -n 1)" = "$2" ]; }

# Tells whether a program is an AWS CLI v2 that is new enough.
fits() {
  local release
  release=$("$1" --version 2>/dev/null | sed -n 's|^aws-cli/\(2\.[0-9.]*\).*|\1|p')
  [ -n "$release" ] && at_least "$release" "$oldest"
}

# Links the first one on PATH that fits.
found() {
  local candidate
  while IFS= read -r candidate; do
    if fits "$candidate"; then
      mkdir -p "$(dirname "$link")"
      ln -sf "$candidate" "$link"
      return
    fi
  done < <(type -aP aws)
  return 1
}

# Tells whether packages can be installed, and sets how.
may_install() {
  command -v apt-get >/dev/null || return 1
  if [ "$(id -u)" -ne 0 ]; then
    sudo=(sudo -n)
    "${sudo[@]}" true 2>/dev/null || return 1
  fi
}

# Installs the package where the version that apt would take is new enough. Arguments: options for apt.
install() {
  local candidate
  "${sudo[@]}" apt-get "$@" update -qq || return
  candidate=$(apt-cache "$@" policy awscli | sed -n 's/^ *Candidate: *\([0-9.]*\).*/\1/p')
  [ -n "$candidate" ] && at_least "$candidate" "$oldest" || return
  echo "Installing the distribution's package awscli $candidate ..."
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@" install -y -qq --no-install-recommends awscli >/dev/null
}

# Does so with the backports of a Debian release besides, which are where the release itself is. The list of packages is
# one of its own, so that the machine's is as before.
install_from_backports() {
  local name where keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  name=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  where=$(apt-get indextargets --format "\$(ORIGIN) \$(CODENAME) \$(COMPONENT) \$(REPO_URI)" 'Created-By: Packages' |
    sed -n "s/^Debian $name main //p" | head -n 1)
  [ -n "$name" ] && [ -n "$where" ] || return
  mkdir -p "$scratch/parts" "$scratch/lists"
  cp /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources "$scratch/parts/" 2>/dev/null || true
  [ -r "$keyring" ] && keyring="[signed-by=$keyring]" || keyring=""
  echo "deb $keyring $where $name-backports main" >"$scratch/parts/backports.list"
  # apt fetches as a user of its own, who has to get there.
  chmod -R a+rX "$scratch"
  install -o "Dir::Etc::SourceParts=$scratch/parts" -o "Dir::State::Lists=$scratch/lists" -t "$name-backports"
}

from_distribution() {
  may_install || return
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  install || install_from_backports
}

main() {
  cd "$(dirname "$0")/.."
  if [ -x "$link" ] && fits "$link"; then return; fi
  if found || { from_distribution && hash -r && found; }; then
    echo "Tests use $(command -v "$link"): $("$link" --version 2>&1)"
    return
  fi
  rm -f "$link"
  echo "There is no AWS CLI $oldest or newer on PATH, and none to be installed as a package here. Tests of the scripts" >&2
  echo "with AWS CLI v2 are skipped; those with v1 run. To run them, install it: https://aws.amazon.com/cli/" >&2
  [ -z "${CI:-}" ]
}

main "$@"
