"""The local account in a process of its own, whose functions do nothing: prints its endpoint, and every invocation."""

import threading

from local.account import running_account


def main() -> None:
    """Serve until ended."""
    with running_account() as account:

        def invoke(name: str, _payload: bytes, asynchronous: bool) -> tuple[int, bytes, str | None]:
            print(f"invoked {name}", flush=True)
            return (202, b"", None) if asynchronous else (200, b"null", None)

        account.on_invoke(invoke)
        print(account.endpoint, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
