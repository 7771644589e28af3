#!/usr/bin/env bash
# Renews the locked versions in requirements/ from pyproject.toml, with hashes, for every Python that we support.
set -euo pipefail

compile() { # arguments of `uv pip compile`, the output last
  .venvs/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url "$@"
}

main() {
  cd "$(dirname "$0")/.."
  compile pyproject.toml -o requirements/runtime.txt
  compile pyproject.toml --group dev -c requirements/runtime.txt -o requirements/dev.txt
  compile --group aws -o requirements/aws.txt
  compile --group sam -o requirements/sam.txt
  compile --group uv -o requirements/uv.txt
}

main "$@"
