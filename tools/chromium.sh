#!/usr/bin/env bash
# Makes sure that the page's tests find a browser: one on PATH, else the distribution's package, else Playwright's own.
set -euo pipefail

found() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }

from_distribution() {
  local sudo=()
  command -v apt-get >/dev/null || return 1
  if [ "$(id -u)" -ne 0 ]; then
    sudo=(sudo -n)
    "${sudo[@]}" true 2>/dev/null || return 1
  fi
  echo "Installing the distribution's package chromium ..."
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends chromium >/dev/null
}

main() {
  cd "$(dirname "$0")/.."
  found || from_distribution || .venv/bin/python -m playwright install chromium
}

main "$@"
